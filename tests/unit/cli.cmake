# What the weir command makes of what it has read, without root and without a terminal.
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
set(cli ${PROJECT_SOURCE_DIR}/cli)
weir_gtest(cli_test LABEL unit
  SOURCES cli_output_test.cc cli_traffic_test.cc cli_top_view_test.cc
          ${cli}/output.cc ${cli}/args.cc ${cli}/values.cc ${cli}/engines.cc ${cli}/traffic.cc ${cli}/top_view.cc
  DEPS weir_control fmt::fmt nlohmann_json::nlohmann_json)
target_include_directories(cli_test PRIVATE ${cli})
