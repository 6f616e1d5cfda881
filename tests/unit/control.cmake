weir_gtest(control_test LABEL unit
  SOURCES control_dump_test.cc control_filter_file_test.cc control_filter_parse_test.cc control_firewall_handover_test.cc control_heartbeat_test.cc control_inherit_test.cc control_rings_test.cc control_ssh_session_test.cc control_test_packet_test.cc
          control_set_test.cc control_stats_test.cc control_umem_test.cc
  DEPS weir_control)
