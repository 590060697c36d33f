// Name of the instruction set in use.
#pragma once

namespace gyr {

const char* simd_level();

}  // namespace gyr
