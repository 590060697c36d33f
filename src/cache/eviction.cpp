#include "cache/eviction.h"

#include <algorithm>

namespace gyr {

Eviction::Eviction(std::pmr::memory_resource* memory, const gyr_cache_tiers& tiers, uint64_t most_rows,
                   uint64_t expected)
    : lru_(tiers.policy == GYR_CACHE_LRU),
      samples_hits_(tiers.policy == GYR_CACHE_TINYLFU),
      admit_count_(tiers.admit_count),
      most_rows_(most_rows),
      rows_left_(most_rows - 1) {
  if (tiers.evict_to > 0) {
    auto share = uint64_t(double(most_rows) * double(tiers.evict_to));
    rows_left_ = std::min(rows_left_, share > 0 ? share - 1 : 0);
  }
  if (samples_hits_ || admit_count_ > 1) sketch_ = std::make_unique<FrequencySketch>(memory, expected);
}

uint64_t Eviction::Touch::next_salt() {
  static thread_local uint64_t calls = 0;
  return mix64(++calls) | 1;
}

void Eviction::inserted(uint64_t rows) {
  if (sketch_) sketch_->age();
  if (!lru_ || ++since_tick_ < std::max<uint64_t>(rows / kTicksPerTurn, 1)) return;
  since_tick_ = 0;
  tick_.store((tick_.load(std::memory_order_relaxed) + 1) & kStamp, std::memory_order_relaxed);
}

}  // namespace gyr
