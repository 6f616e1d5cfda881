weir_gtest(xdp_veth_test LABEL veth
  SOURCES xdp_fixture.cc xdp_attach_test.cc xdp_flip_test.cc xdp_policy_test.cc xdp_socket_test.cc
  DEPS weir_control weir_wire weir_lab bpf)
