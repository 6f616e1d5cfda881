weir_fuzzer(tcp_state SOURCES tcp_state_fuzz.cc DEPS weir_tcp MAX_LEN 1024)
