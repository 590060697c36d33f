#include "exec/simd.h"

#include <cstring>

#include "kernels/kernels.h"

namespace gyr {

const char* simd_level() {
  const char* name = kernels::best().name;
  return std::strcmp(name, "ref") == 0 ? "SCALAR" : name;
}

}  // namespace gyr
