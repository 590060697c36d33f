# OpenBLAS, serial, as a static archive: the peer of the kernels' benchmark. The library does without
# (docs/design/002-host-safety.md).
find_library(OPENBLAS_STATIC NAMES libopenblas.a PATH_SUFFIXES openblas-serial REQUIRED
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH)
find_path(OPENBLAS_INCLUDE cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH
          REQUIRED)
add_library(gyr_openblas INTERFACE)
target_include_directories(gyr_openblas SYSTEM INTERFACE ${OPENBLAS_INCLUDE})
target_link_libraries(gyr_openblas INTERFACE ${OPENBLAS_STATIC} m)
add_library(gyr::openblas ALIAS gyr_openblas)
