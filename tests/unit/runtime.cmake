find_package(nlohmann_json REQUIRED)
weir_gtest(weir_report_test LABEL unit SOURCES runtime_report_test.cc DEPS weir_runtime nlohmann_json::nlohmann_json)
weir_gtest(weir_engine_socket_test LABEL unit SOURCES runtime_engine_socket_test.cc DEPS weir_runtime weir_control)
