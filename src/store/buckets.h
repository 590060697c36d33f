// One shard's index: an open-addressing array of buckets, each one cache line of four words and four refs.
//
// A word is an int64 key itself, or the hash of a byte key; a ref names the row's block (store/arena.h). A way's word
// is written once in the life of an array, before its first ref is published, and the ways of a bucket fill in order.
// So:
//   - one store of a ref publishes, replaces or erases a row, and readers never lock or retry;
//   - an erased way waits for its own word, or for the next array: nobody who matched a word can meet another's row;
//   - a bucket whose last way is empty ends a probe.
// Buckets lie in hash order, which is what scans walk and what makes growth a sequential copy.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/math.h"

namespace gyr {

struct alignas(64) Bucket {
  static constexpr uint32_t kWays = 4;
  std::atomic<uint64_t> word[kWays];
  std::atomic<uint64_t> ref[kWays];

  bool full() const { return ref[kWays - 1].load(std::memory_order_acquire) != 0; }
};
static_assert(sizeof(Bucket) == 64);

// What a ref is when it is no row's.
constexpr uint64_t kEmpty = 0, kErased = 1;

// An array of buckets: where it is, and of how many. Both fit into one word, so that readers get them at once and a
// store's 64 arrays are eight cache lines to them. Counts are of 16 binary digits.
struct Buckets {
  Bucket* first;
  uint64_t count;

  static Buckets of(uint64_t head) {
    uint64_t digits = head & ((1u << kDigits) - 1), zeros = head >> kDigits & ((1u << kZerosBits) - 1);
    return {reinterpret_cast<Bucket*>(head >> kCountBits << 6), digits << zeros};
  }
  uint64_t head() const {
    uint64_t zeros = zeros_of(count);
    return reinterpret_cast<uintptr_t>(first) >> 6 << kCountBits | zeros << kDigits | count >> zeros;
  }
  // The next larger count that there is.
  static uint64_t rounded(uint64_t count) {
    uint64_t up = align_up(count, uint64_t(1) << zeros_of(count));
    return align_up(up, uint64_t(1) << zeros_of(up));
  }

  uint64_t bytes() const { return count * sizeof(Bucket); }
  uint64_t home(uint64_t hash, uint32_t shard_bits) const {
    return uint64_t((unsigned __int128)(hash << shard_bits) * count >> 64);
  }
  // The smallest hash, shard bits left out, whose home is `bucket`.
  uint64_t first_hash(uint64_t bucket, uint32_t shard_bits) const {
    auto x = uint64_t((((unsigned __int128)bucket << 64) + count - 1) / count);
    return (x + (uint64_t(1) << shard_bits) - 1) >> shard_bits;
  }
  uint64_t next(uint64_t bucket) const { return bucket + 1 == count ? 0 : bucket + 1; }
  uint64_t ways() const { return count * Bucket::kWays; }

 private:
  static constexpr uint32_t kDigits = 16, kZerosBits = 6, kCountBits = kDigits + kZerosBits;
  static uint64_t zeros_of(uint64_t count) {
    auto width = uint64_t(std::bit_width(count));
    return width > kDigits ? width - kDigits : 0;
  }
};

}  // namespace gyr
