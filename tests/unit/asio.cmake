find_package(GTest REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)

# The cases are compiled once and linked twice: here they run over the kernel's sockets on loopback, in tests/veth over the
# engine. An object library, so that no case is left out by the linker.
add_library(weir_asio_cases OBJECT ${PROJECT_SOURCE_DIR}/userspace/examples/certificate.cc asio_beast_cases.cc asio_life_cases.cc asio_place.cc asio_stream_cases.cc)
target_link_libraries(weir_asio_cases PUBLIC weir_asio GTest::gmock OpenSSL::SSL OpenSSL::Crypto PRIVATE weir_flags)
weir_heavy_source(asio_beast_cases.cc asio_life_cases.cc asio_stream_cases.cc)
target_include_directories(weir_asio_cases PUBLIC ${CMAKE_CURRENT_LIST_DIR} ${PROJECT_SOURCE_DIR}/userspace/examples)

weir_gtest(weir_asio_test LABEL unit
  SOURCES asio_error_test.cc asio_loopback.cc asio_operation_test.cc
  DEPS weir_asio_cases)
