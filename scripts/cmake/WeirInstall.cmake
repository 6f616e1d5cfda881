# What `cmake --install` puts where, and the package that find_package(weir) finds: targets weir::asio, weir::runtime,
# weir::stack and the rest, one a directory, headers as "weir/<directory>/<file>.h".
include(CMakePackageConfigHelpers)

get_property(weir_libraries GLOBAL PROPERTY WEIR_LIBRARIES)
set(weir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)

install(TARGETS ${weir_libraries} EXPORT weirTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${weir_package_dir} COMPONENT dev)
foreach(dir common userspace/base userspace/wire userspace/tcp userspace/stack userspace/harness userspace/xdp userspace/control
        userspace/runtime userspace/asio)
  get_filename_component(name ${dir} NAME)
  install(DIRECTORY ${dir}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weir/${name} COMPONENT dev
    FILES_MATCHING PATTERN "*.h")
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/scripts/cmake/weirConfig.cmake.in
  ${PROJECT_BINARY_DIR}/weirConfig.cmake INSTALL_DESTINATION ${weir_package_dir})
# Before 1.0 each minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
  DESTINATION ${weir_package_dir} COMPONENT dev)

install(TARGETS weir_cli weir-http RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
install(FILES cli/man/weir.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT tools)
install(FILES cli/completions/weir.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME weir
  COMPONENT tools)
install(FILES cli/completions/_weir DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT tools)
install(FILES cli/completions/weir.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT tools)
install(FILES LICENSE.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools)

# A program outside this tree finds the package, builds and runs. Not with fuzzers: their instrumentation wants its runtime.
if(WEIR_BUILD_TESTS AND NOT WEIR_BUILD_FUZZERS)
  add_test(NAME install.find_package
    COMMAND ${CMAKE_COMMAND} -D BUILD_DIR=${PROJECT_BINARY_DIR} -D GENERATOR=${CMAKE_GENERATOR}
      -D SOURCE_DIR=${PROJECT_SOURCE_DIR}/tests/unit/consumer -D WORK_DIR=${PROJECT_BINARY_DIR}/consumer
      -D C_COMPILER=${CMAKE_C_COMPILER} -D CXX_COMPILER=${CMAKE_CXX_COMPILER} -D SANITIZE=${WEIR_SANITIZE}
      -P ${PROJECT_SOURCE_DIR}/tests/unit/consumer/check.cmake)
  set_tests_properties(install.find_package PROPERTIES LABELS unit TIMEOUT 300)
endif()
