// What index files of all builds have in common.
#pragma once

#include <gyr/index.h>

#include "base/bytes.h"
#include "index/codes.h"

namespace gyr::index {

// Centre and axes of codes.
Status get_learnt(ByteReader* in, const char* name, Codes* codes);

// Whether it may be a vector as it is kept: rounding may have made it longer than one that is given may be, or than 1.
bool plausible(const float* row, uint32_t dim, gyr_metric metric, gyr_stored stored);

}  // namespace gyr::index
