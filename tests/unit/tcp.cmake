weir_gtest(weir_tcp_test LABEL unit
  SOURCES
    tcp_harness.cc
    tcp_bbr_test.cc
    tcp_close_test.cc
    tcp_congestion_test.cc
    tcp_controller_events_test.cc
    tcp_cubic_test.cc
    tcp_data_test.cc
    tcp_ecn_test.cc
    tcp_hostile_test.cc
    tcp_loss_test.cc
    tcp_off_path_test.cc
    tcp_info_test.cc
    tcp_memory_test.cc
    tcp_open_test.cc
    tcp_options_test.cc
    tcp_pacing_test.cc
    tcp_parts_test.cc
    tcp_path_test.cc
    tcp_recovery_test.cc
    tcp_sack_test.cc
    tcp_spurious_test.cc
    tcp_transfer_test.cc
    tcp_transmissions_test.cc
    tcp_validation_test.cc
  DEPS weir_tcp)
# The algorithm that the example runs outside the datapath.
target_include_directories(weir_tcp_test PRIVATE ${PROJECT_SOURCE_DIR}/userspace/examples)
