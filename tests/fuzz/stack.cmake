weir_fuzzer(stack SOURCES stack_fuzz.cc DEPS weir_stack MAX_LEN 4096)
