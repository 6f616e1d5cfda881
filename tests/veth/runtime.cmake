weir_gtest(runtime_veth_test LABEL veth
  SOURCES runtime_test.cc runtime_connect_test.cc runtime_dump_test.cc runtime_life_test.cc runtime_world.cc
  DEPS weir_runtime weir_lab)
