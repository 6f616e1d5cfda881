# The kernel-side load that scripts/bench puts on an echo server.
weir_executable(weir_echo_load SOURCES echo_load.cc)
# The flood of tests/bench/syn_flood.py.
weir_executable(weir_syn_flood SOURCES syn_flood.cc DEPS weir_wire)
