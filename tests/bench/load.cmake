# The kernel-side load that scripts/bench puts on an echo server.
weir_executable(weir_echo_load SOURCES echo_load.cc)
