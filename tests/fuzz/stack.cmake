weir_fuzzer(stack SOURCES stack_fuzz.cc DEPS weir_stack MAX_LEN 4096)
weir_fuzzer(conversation SOURCES conversation_fuzz.cc DEPS weir_stack MAX_LEN 2048)
