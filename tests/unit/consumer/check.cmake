# Installs the build into a prefix of its own, builds the consumer against it, runs it, and looks for what else must be
# there. The prefix and the consumer's build are removed first, so that nothing stale answers.
set(prefix ${WORK_DIR}/prefix)
file(REMOVE_RECURSE ${WORK_DIR})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}: ${status}\n${output}")
  endif()
endfunction()

set(flags "")
if(SANITIZE)
  set(flags "-fsanitize=${SANITIZE}")
endif()
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})
run(${CMAKE_COMMAND} -S ${SOURCE_DIR} -B ${WORK_DIR}/build -G ${GENERATOR} -D CMAKE_PREFIX_PATH=${prefix}
  -D CMAKE_C_COMPILER=${C_COMPILER} -D CMAKE_CXX_COMPILER=${CXX_COMPILER} "-DCMAKE_CXX_FLAGS=${flags}")
run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
run(${WORK_DIR}/build/consumer)
run(${WORK_DIR}/build/core)
run(${WORK_DIR}/build/harness)
run(${prefix}/bin/weir --version)

foreach(file bin/weir-http share/man/man8/weir.8 share/bash-completion/completions/weir share/zsh/site-functions/_weir
        share/fish/vendor_completions.d/weir.fish include/weir/common/abi.h)
  if(NOT EXISTS ${prefix}/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()
# An installed header that names a file which is not installed would fail at the user's.
file(GLOB_RECURSE headers ${prefix}/include/weir/*.h)
foreach(header ${headers})
  file(STRINGS ${header} includes REGEX "^#include \"weir/")
  foreach(line ${includes})
    string(REGEX REPLACE "^#include \"([^\"]+)\".*" "\\1" name ${line})
    if(NOT EXISTS ${prefix}/include/${name})
      message(FATAL_ERROR "${header} includes ${name}, which was not installed")
    endif()
  endforeach()
endforeach()
file(REMOVE_RECURSE ${WORK_DIR})
