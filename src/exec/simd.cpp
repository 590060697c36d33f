#include "exec/simd.h"

namespace gyr {

const char* simd_level() { return "SCALAR"; }

}  // namespace gyr
