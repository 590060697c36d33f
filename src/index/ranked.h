// The best candidates of a walk so far, in order.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "index/array.h"
#include "kernels/kernels.h"

namespace gyr::index {

// Keys order by score, the smaller slot first where these are alike: one integer comparison. NaN, of a damaged file, is
// the least of all. The last bit is a mark that moves no key past another.
inline int64_t ranked_key(float score, uint32_t slot) {
  const auto bits = std::bit_cast<int32_t>(score == score ? score : -INFINITY);
  return int64_t(uint64_t(uint32_t(bits ^ (bits >> 31 & INT32_MAX))) << 32 | uint64_t(~slot << 1));
}
inline float score_of(int64_t key) {
  const auto bits = int32_t(key >> 32);
  return std::bit_cast<float>(bits ^ (bits >> 31 & INT32_MAX));
}
inline uint32_t slot_of(int64_t key) { return ~uint32_t(key) >> 1; }

class Ranked {
 public:
  explicit Ranked(std::pmr::memory_resource* m)
      : keys_(Aligned<int64_t>(m)), fresh_(Aligned<int64_t>(m)), ops_(&kernels::best()) {}
  // at_once: how many are offered in one call at most.
  void reserve(uint32_t most, uint32_t at_once) {
    const size_t places = kernels::ranked_places(most);
    if (keys_.size() < places) keys_.resize(places);
    if (fresh_.size() < at_once) fresh_.resize(at_once);
  }
  void reset(uint32_t most, uint32_t at_once) {
    reserve(most, at_once);
    std::fill_n(keys_.begin(), kernels::ranked_places(most), INT64_MIN);
    most_ = most;
    n_ = 0;
  }
  // Returns the largest of their keys.
  int64_t offer(const float* scores, const uint32_t* slots, uint32_t n) {
    int64_t best = INT64_MIN;
    for (uint32_t i = 0; i < n; i++) {
      fresh_[i] = ranked_key(scores[i], slots[i]);
      best = std::max(best, fresh_[i]);
    }
    ops_->insert_ranked(keys_.data(), most_, fresh_.data(), n);
    n_ = std::min(n_ + n, most_);
    return best;
  }
  uint32_t size() const { return n_; }
  uint32_t most() const { return most_; }
  int64_t operator[](size_t i) const { return keys_[i]; }
  float score(size_t i) const { return score_of(keys_[i]); }
  uint32_t slot(size_t i) const { return slot_of(keys_[i]); }
  bool marked(size_t i) const { return keys_[i] & 1; }
  void mark(size_t i) { keys_[i] |= 1; }
  void unmark_all() {
    for (uint32_t i = 0; i < n_; i++) keys_[i] &= ~int64_t(1);
  }
  // Bytes of one with these numbers.
  static uint64_t bytes_of(uint64_t most, uint64_t at_once) { return (kernels::ranked_places(most) + at_once) * 8; }

 private:
  Array<int64_t> keys_;   // [ranked_places(most_)], a ranked list (kernels.h)
  Array<int64_t> fresh_;  // scratch
  const kernels::Ops* ops_;
  uint32_t n_ = 0, most_ = 0;
};

}  // namespace gyr::index
