weir_gtest(weir_harness_test LABEL unit SOURCES harness_calls_test.cc harness_time_test.cc DEPS weir_harness)
