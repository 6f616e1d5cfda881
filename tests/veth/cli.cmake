# The weir command: what is typed (no root needed), and what it does to a real interface.
find_program(WEIR_PYTHON python3 REQUIRED)
set(tests usage:unit bad_input:veth commands:veth guard:veth top:veth metrics:veth)
# Kills a writer at each of its system calls, one after another: with a sanitizer a quarter of an hour, for nothing new.
if(NOT WEIR_SANITIZE)
  list(APPEND tests robust:veth)
endif()
foreach(test ${tests})
  string(REPLACE ":" ";" test "${test}")
  list(GET test 0 name)
  list(GET test 1 label)
  add_test(NAME ${label}.cli_${name} COMMAND ${WEIR_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/cli_${name}.py)
  set_tests_properties(${label}.cli_${name} PROPERTIES LABELS ${label} TIMEOUT 180 SKIP_RETURN_CODE 77
    ENVIRONMENT "WEIR_BUILD_DIR=${PROJECT_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endforeach()
if(NOT WEIR_SANITIZE)
  set_tests_properties(veth.cli_robust PROPERTIES TIMEOUT 900)
endif()
