# Staged install: library, headers, pkg-config file and CMake package.
include(CMakePackageConfigHelpers)
install(TARGETS gyr EXPORT gyr-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/gyr DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT gyr-targets NAMESPACE gyr:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gyr)
configure_package_config_file(pkgconfig/gyr-config.cmake.in ${CMAKE_BINARY_DIR}/gyr-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gyr)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/gyr-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/gyr-config.cmake ${CMAKE_BINARY_DIR}/gyr-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gyr)
configure_file(pkgconfig/gyr.pc.in ${CMAKE_BINARY_DIR}/gyr.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/gyr.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
