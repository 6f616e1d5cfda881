# The cases of tests/unit over the engine, and what only the engine can show.
weir_gtest(asio_veth_test LABEL veth
  SOURCES asio_engine_test.cc asio_veth.cc
  DEPS weir_asio_cases weir_lab)
