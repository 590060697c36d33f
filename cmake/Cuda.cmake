# The CUDA plugin, libgyr-cuda.so, from kernels/cuda. There are no kernels yet: the preset checks that nvcc is there and
# builds everything else.
find_program(NVCC nvcc PATHS /usr/local/cuda/bin REQUIRED)
file(GLOB GYR_CUDA_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
if(NOT GYR_CUDA_SOURCES)
  message(STATUS "gyr: nvcc is ${NVCC}, but kernels/cuda is empty: no CUDA plugin is built")
endif()
