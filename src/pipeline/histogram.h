// Latency histogram with fixed buckets (a quarter of a power of two each, 256 ns to about 4 s), counted by atomics.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace gyr {

class Histogram {
 public:
  static constexpr int kBuckets = 96;

  void add(uint64_t ns) {
    counts_[size_t(bucket(ns))].fetch_add(1, std::memory_order_relaxed);
    sum_ns_.fetch_add(ns, std::memory_order_relaxed);
  }
  uint64_t count(int bucket) const { return counts_[size_t(bucket)].load(std::memory_order_relaxed); }
  uint64_t sum_ns() const { return sum_ns_.load(std::memory_order_relaxed); }

  // Upper bound of a bucket in nanoseconds.
  static uint64_t bound(int bucket) {
    int exponent = kFirst + bucket / 4, quarter = bucket % 4;
    return (uint64_t(1) << exponent) / 4 * uint64_t(5 + quarter);
  }
  static int bucket(uint64_t ns) {
    if (ns < (uint64_t(1) << kFirst)) return 0;
    int exponent = 63 - std::countl_zero(ns);
    int quarter = int(ns >> (exponent - 2)) & 3;
    int b = (exponent - kFirst) * 4 + quarter;
    return b < kBuckets ? b : kBuckets - 1;
  }

 private:
  static constexpr int kFirst = 8;
  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
  std::atomic<uint64_t> sum_ns_{0};
};

}  // namespace gyr
