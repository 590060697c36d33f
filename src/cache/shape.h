// What a cache is made to: options and tiers, checked, and what follows from them.
#pragma once

#include <gyr/cache.h>

#include "base/error.h"
#include "kernels/kernels.h"

namespace gyr {

struct CacheShape {
  gyr_cache_options options;
  gyr_cache_tiers tiers;  // all zero without any
  kernels::RowType type;
  uint32_t row_bytes;
  uint64_t most_rows;  // that the limits allow; UINT64_MAX = any number

  static Result<CacheShape> of(const gyr_cache_options& options);
  Status set_tiers(const gyr_cache_tiers& tiers);

  bool unlimited() const { return most_rows == UINT64_MAX && !tiers.below && !tiers.folder; }
  // Rows to make the index for. A quarter of a limited cache's ways may be erased before it is swept.
  uint64_t expected() const;
};

}  // namespace gyr
