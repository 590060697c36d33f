// GPUs and MIG slices as the NVIDIA management library reports them. Opened at run time; creates no CUDA context.
#pragma once

#include <gyr/device.h>

#include <string>
#include <vector>

namespace gyr {

struct NvmlReport {
  std::vector<gyr_device_info> devices;  // each GPU followed by its slices; usable and reason are left empty
  uint32_t cuda_driver = 0;              // 12040 = CUDA 12.4; 0 = unknown
  std::string problem;                   // why there is no list, else empty
};

NvmlReport read_nvml(const char* library = "libnvidia-ml.so.1");

}  // namespace gyr
