# OpenBLAS, serial, as a static archive: no threads, no atfork handlers, no symbols of its own in the host process.
find_library(OPENBLAS_STATIC NAMES libopenblas.a PATH_SUFFIXES openblas-serial REQUIRED
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH)
find_path(OPENBLAS_INCLUDE cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH
          REQUIRED)
add_library(gyr_openblas INTERFACE)
target_include_directories(gyr_openblas SYSTEM INTERFACE ${OPENBLAS_INCLUDE})
target_link_libraries(gyr_openblas INTERFACE ${OPENBLAS_STATIC} m)
# Its buffer table is not safe for callers in several threads; src/base/lapack.cpp guards it.
target_link_options(gyr_openblas INTERFACE LINKER:--wrap=blas_memory_alloc LINKER:--wrap=blas_memory_free
                    LINKER:--wrap=openblas_read_env)
add_library(gyr::openblas ALIAS gyr_openblas)
