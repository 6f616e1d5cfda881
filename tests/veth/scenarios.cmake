# The stories of the issue, told with real programs: one ctest a file, each in namespaces of its own.
find_program(WEIR_PYTHON python3 REQUIRED)
# With a sanitizer the long ones would say nothing new and take their time; the soak is what they are for.
set(scenarios main_job dump promise1 promise2 ownership selectors syn_guard ssh peers fast_open soak)
if(NOT WEIR_SANITIZE)
  list(APPEND scenarios load)
endif()
foreach(name ${scenarios})
  add_test(NAME veth.${name} COMMAND ${WEIR_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/test_${name}.py)
  set_tests_properties(veth.${name} PROPERTIES LABELS veth TIMEOUT 900 SKIP_RETURN_CODE 77
    ENVIRONMENT "WEIR_BUILD_DIR=${PROJECT_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endforeach()
