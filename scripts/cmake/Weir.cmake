# What every target of weir shares: the warning set, the sanitizers, and one function per kind of target.

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Sources say "weir/tcp/connection.h" whether they are built here or against an installed weir: one include root,
# and no bare "base/..." that could meet another project's.
set(WEIR_INCLUDE_ROOT ${PROJECT_BINARY_DIR}/include)
file(MAKE_DIRECTORY ${WEIR_INCLUDE_ROOT}/weir)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/common ${WEIR_INCLUDE_ROOT}/weir/common SYMBOLIC)
foreach(dir base wire tcp stack harness xdp control runtime asio)
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/userspace/${dir} ${WEIR_INCLUDE_ROOT}/weir/${dir} SYMBOLIC)
endforeach()

add_library(weir_flags INTERFACE)
target_compile_options(weir_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-qual
  -Wnon-virtual-dtor -Woverloaded-virtual -Wundef
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12's flow analysis reports impossible overruns inside inlined libstdc++ and Boost code; they are not ours to mend.
  target_compile_options(weir_flags INTERFACE -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
    -Wno-restrict -Wno-maybe-uninitialized -Wno-dangling-pointer)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libbpf's LIBBPF_OPTS is a statement expression around a compound literal.
  target_compile_options(weir_flags INTERFACE -Wno-gnu-statement-expression -Wno-c99-extensions)
endif()
if(WEIR_SANITIZE)
  add_compile_options(-fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${WEIR_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # What clang 14 puts in front of functions for the first cannot stand in front of coroutines; the second takes a pipe
    # to look at memory, and one of the tests leaves no descriptor.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=function,vptr>)
  endif()
endif()

# weir_library(NAME SOURCES a.cc ... DEPS weir_base ...): the library of one directory.
# Without SOURCES it is header-only. Deps are public: a header may include what its directory may include.
function(weir_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
    if(WEIR_BUILD_FUZZERS)
      target_compile_options(${name} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
    target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:weir_flags> ${ARG_PRIVATE_DEPS})
    target_compile_features(${name} PUBLIC cxx_std_20)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
    target_compile_features(${name} INTERFACE cxx_std_20)
  endif()
  target_include_directories(${name} ${scope}
    $<BUILD_INTERFACE:${WEIR_INCLUDE_ROOT}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${name} ${scope} ${ARG_DEPS})
  string(REGEX REPLACE "^weir_" "" short ${name})
  add_library(weir::${short} ALIAS ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${short})
  set_property(GLOBAL APPEND PROPERTY WEIR_LIBRARIES ${name})
endfunction()

# weir_executable(NAME SOURCES ... DEPS ...)
function(weir_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE weir_flags ${ARG_DEPS})
endfunction()

# weir_gtest(NAME LABEL unit SOURCES ... DEPS ...): a GoogleTest binary, every case of it a ctest.
# Exit status 77, or GTEST_SKIP with the reason, is a SKIP.
function(weir_gtest name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  find_package(GTest REQUIRED)
  include(GoogleTest)
  weir_executable(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  # Optimised tests take twice as long to compile and are no faster: what they call is. But for those that calculate.
  if(NOT ARG_LABEL MATCHES "sim|bpf")
    target_compile_options(${name} PRIVATE $<$<CONFIG:Debug>:-O0>)
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${ARG_LABEL}." DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()

# weir_heavy_source(FILE...): a source whose templates take minutes and gigabytes, the more with sanitizers (Beast's and
# Asio's coroutines): less debug information, and with sanitizers no optimisation.
function(weir_heavy_source)
  set(options -g1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND options -fno-var-tracking)
  endif()
  if(WEIR_SANITIZE)
    list(APPEND options -O0)
  endif()
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${options}")
endfunction()
