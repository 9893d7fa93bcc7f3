# `cmake --install`: the command, the library, its headers, and what find_package(laconic) reads. The command is not in
# the export set: who has only the library installed finds it all the same.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/laconic)
install(TARGETS laconic EXPORT laconic INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(LACONIC_BUILD_CLI)
  install(TARGETS laconic_cli)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ TYPE INCLUDE)
install(EXPORT laconic NAMESPACE laconic:: FILE laconic-targets.cmake DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/laconic-config.cmake.in laconic-config.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(laconic-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/laconic-config.cmake ${PROJECT_BINARY_DIR}/laconic-config-version.cmake
  DESTINATION ${package})
