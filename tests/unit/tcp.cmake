weir_gtest(weir_tcp_test LABEL unit
  SOURCES tcp_harness.cc tcp_open_test.cc tcp_transfer_test.cc
  DEPS weir_tcp)
