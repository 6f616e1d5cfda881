weir_gtest(base_test LABEL unit DEPS weir_base
  SOURCES base_bytes_test.cc base_ip_address_test.cc base_result_test.cc base_time_test.cc)
weir_gtest(wire_test LABEL unit DEPS weir_wire
  SOURCES wire_checksum_test.cc wire_ethernet_test.cc wire_icmp_test.cc wire_ip_packet_test.cc wire_ipv4_test.cc
          wire_ipv6_test.cc wire_tcp_test.cc wire_udp_test.cc)

# The core by itself: it links with nothing but the C++ library, and holds no symbol of a socket, clock or thread. Which of
# the libraries exist is known once all directories have been read.
function(weir_layering_tests)
  set(core)
  set(archives)
  foreach(lib weir_base weir_wire weir_tcp weir_udp weir_stack weir_harness)
    if(TARGET ${lib})
      get_target_property(type ${lib} TYPE)
      if(type STREQUAL STATIC_LIBRARY)
        list(APPEND core ${lib})
        list(APPEND archives $<TARGET_FILE:${lib}>)
      endif()
    endif()
  endforeach()
  add_executable(core_alone core_alone.cc)
  target_link_libraries(core_alone PRIVATE weir_flags -Wl,--whole-archive ${core} -Wl,--no-whole-archive)
  target_compile_features(core_alone PRIVATE cxx_std_20)
  add_test(NAME unit.layering.includes COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/layering_test.sh includes ${PROJECT_SOURCE_DIR})
  add_test(NAME unit.layering.symbols
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/layering_test.sh symbols ${CMAKE_NM} ${archives})
  add_test(NAME unit.layering.core_links_alone COMMAND core_alone)
  set_tests_properties(unit.layering.includes unit.layering.symbols unit.layering.core_links_alone
    PROPERTIES LABELS unit TIMEOUT 60)
endfunction()
weir_layering_tests()
