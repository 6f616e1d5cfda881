weir_gtest(weir_stack_test LABEL unit
  SOURCES
    stack_congestion_test.cc
    stack_cookies_test.cc
    stack_demux_test.cc
    stack_fast_open_test.cc
    stack_hostile_test.cc
    stack_icmp_test.cc
    stack_mutation_test.cc
    stack_next_hop_test.cc
    stack_options_test.cc
    stack_path_test.cc
    stack_reassembly_test.cc
    stack_tables_test.cc
    stack_time_wait_test.cc
  DEPS weir_stack)
