# A jumbo Ethernet frame and a little more, so that lengths may lie in both directions.
weir_fuzzer(wire SOURCES wire_fuzz.cc DEPS weir_wire MAX_LEN 2048)
