weir_fuzzer(control SOURCES control_fuzz.cc DEPS weir_control MAX_LEN 512)
