// Pooling of rows that arrive in groups: bags begin and end within groups.
#pragma once

#include <gyr/cache.h>

#include <cstring>

#include "kernels/kernels.h"

namespace gyr {

// Keys and offsets as the caller gave them, checked.
struct BagsIn {
  const int64_t* keys;
  const float* weights;  // per key, or null
  const int64_t* offsets;
  uint64_t bags;
  gyr_pooling pooling;
  size_t size() const { return size_t(offsets[bags]); }
};

class Bags {
 public:
  // standard: the row that counts for missing ones; null = they are left out.
  Bags(const BagsIn& in, kernels::RowType type, uint32_t dim, const uint8_t* standard, float* out)
      : in_(in), type_(type), dim_(dim), standard_(standard), out_(out) {}

  // Rows of keys first.. in order; null = missing. At most kMost at a time.
  static constexpr size_t kMost = 512;
  void add(size_t first, size_t m, const uint8_t* const* found) {
    const auto& ops = kernels::best();
    const void* rows[kMost];
    for (size_t i = 0; i < m;) {
      auto at = int64_t(first + i);
      finish(at);
      size_t n = size_t(std::min(in_.offsets[at_ + 1] - at, int64_t(m - i)));
      const float* weights = in_.weights ? in_.weights + at : nullptr;
      for (size_t k = 0; k < n; k++) {
        rows[k] = found[i + k] ? found[i + k] : standard_;
        if (rows[k]) divisor_ += weights ? weights[k] : 1.0f;
      }
      ops.pool_rows(type_, rows, weights, n, dim_, at != in_.offsets[at_], out_ + at_ * dim_);
      i += n;
    }
  }
  void finish() { finish(int64_t(in_.size())); }

 private:
  // Closes the bags that end at or before key `at`; empty ones are zeros.
  void finish(int64_t at) {
    for (; at_ < in_.bags && in_.offsets[at_ + 1] <= at; at_++, divisor_ = 0) {
      float* out = out_ + at_ * dim_;
      if (in_.offsets[at_ + 1] == in_.offsets[at_]) std::memset(out, 0, size_t(dim_) * sizeof(float));
      if (in_.pooling == GYR_POOLING_MEAN && divisor_ != 0 && divisor_ != 1)
        kernels::best().scale(1.0f / divisor_, out, dim_);
    }
  }

  const BagsIn in_;
  const kernels::RowType type_;
  const uint32_t dim_;
  const uint8_t* const standard_;
  float* const out_;
  uint64_t at_ = 0;    // the bag that is being summed
  float divisor_ = 0;  // of its mean, so far
};

}  // namespace gyr
