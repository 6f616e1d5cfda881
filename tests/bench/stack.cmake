find_package(benchmark REQUIRED)
weir_executable(weir_stack_bench SOURCES stack_bench.cc DEPS weir_stack benchmark::benchmark)
