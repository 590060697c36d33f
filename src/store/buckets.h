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

// The array's head; the buckets follow it.
struct alignas(64) Buckets {
  uint64_t count;

  Bucket* at() { return reinterpret_cast<Bucket*>(this + 1); }
  const Bucket* at() const { return reinterpret_cast<const Bucket*>(this + 1); }
  uint64_t bytes() const { return sizeof(Buckets) + count * sizeof(Bucket); }

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
};

}  // namespace gyr
