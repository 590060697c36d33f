// Which rows of a cache stay in memory. A row's mark (store/row_store.h) says what is known of it:
//   bit 7       the tier below holds the row: it may go
//   bits 0..6   CLOCK, TINYLFU: how often it was read lately, 0..3; LRU: when it was read last, in ticks
// Readers change marks, at most three times per round of the hand or once per tick; rows that are read all the time are
// only looked at.
#pragma once

#include <gyr/cache.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <memory_resource>
#include <vector>

#include "base/hash.h"
#include "store/row_store.h"

namespace gyr {

// How often keys were asked for lately: a count-min sketch of two rows in one array (Cormode, Muthukrishnan 2005) with
// halving (TinyLFU: Einziger, Friedman, Manes 2017). Counts are approximate under concurrency.
class FrequencySketch {
 public:
  FrequencySketch(std::pmr::memory_resource* memory, uint64_t keys)
      : counts_(std::bit_ceil(std::clamp<uint64_t>(keys, 128, uint64_t(1) << 28) * 8), 0, memory), sample_(keys * 10) {}

  uint32_t count(uint64_t hash) const {
    return std::min(at(first(hash)).load(kRelaxed), at(second(hash)).load(kRelaxed));
  }
  void add(uint64_t hash, uint32_t times) {
    for (uint64_t place : {first(hash), second(hash)}) {
      uint32_t now = at(place).load(kRelaxed);
      at(place).store(uint8_t(std::min(now + times, 255u)), kRelaxed);
    }
    added_.fetch_add(times, kRelaxed);
  }
  // Now and then, by one thread at a time.
  void age() {
    if (added_.load(kRelaxed) < sample_) return;
    added_.store(0, kRelaxed);
    for (size_t i = 0; i < counts_.size(); i++) at(i).store(uint8_t(at(i).load(kRelaxed) / 2), kRelaxed);
  }
  uint64_t bytes() const { return counts_.size(); }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  std::atomic_ref<uint8_t> at(uint64_t place) const { return std::atomic_ref<uint8_t>(counts_[place]); }
  uint64_t first(uint64_t hash) const { return hash & (counts_.size() - 1); }
  uint64_t second(uint64_t hash) const { return mix64(hash) & (counts_.size() - 1); }

  mutable std::pmr::vector<uint8_t> counts_;
  const uint64_t sample_;
  std::atomic<uint64_t> added_{0};
};

class Eviction {
 public:
  static constexpr uint8_t kHeld = 0x80, kStamp = 0x7f, kMostReads = 3;

  // most_rows: UINT64_MAX = no limit; expected: about how many rows there will be.
  Eviction(std::pmr::memory_resource* memory, const gyr_cache_tiers& tiers, uint64_t most_rows, uint64_t expected);

  uint64_t most_rows() const { return most_rows_; }
  uint64_t bytes() const { return sketch_ ? sketch_->bytes() : 0; }
  // Rows that are left when room for one is made.
  uint64_t rows_left() const { return rows_left_; }
  bool full(uint64_t rows) const { return rows >= most_rows_; }

  // Reads of one call.
  class Touch {
   public:
    explicit Touch(const Eviction& e) : eviction_(e), now_(e.tick_.load(std::memory_order_relaxed)) {
      if (e.samples_hits_) salt_ = next_salt();
    }
    void operator()(const KeyedRows::Mark& mark, uint64_t hash) const {
      uint8_t value = mark.value();
      if (eviction_.lru_) {
        if ((value & kStamp) != now_) mark.change(uint8_t((value & kHeld) | now_));
        return;
      }
      if ((value & kStamp) < kMostReads) mark.change(uint8_t(value + 1));
      if (eviction_.samples_hits_ && (hash * salt_) >> 61 == 0) eviction_.sketch_->add(hash, kSampled);
    }

   private:
    static constexpr uint32_t kSampled = 8;  // one hit in so many counts as as many
    static uint64_t next_salt();
    const Eviction& eviction_;
    const uint8_t now_;
    uint64_t salt_ = 1;
  };

  // A key was asked for that is not in memory.
  void missed(uint64_t hash) const {
    if (sketch_) sketch_->add(hash, 1);
  }
  // By admit_count.
  bool admits(uint64_t hash) const { return admit_count_ <= 1 || sketch_->count(hash) >= admit_count_; }
  // TINYLFU: `fresh` is worth more than `victim`.
  bool prefers(uint64_t fresh, uint64_t victim) const {
    return !samples_hits_ || sketch_->count(fresh) > sketch_->count(victim);
  }

  // What follows is for the only writer.
  uint8_t fresh_mark(bool held) const {
    return uint8_t((held ? kHeld : 0) | (lru_ ? tick_.load(std::memory_order_relaxed) : kFreshReads));
  }
  void inserted(uint64_t rows);
  // The row that goes next, of `count`; false when no row may. It is where a row of this hash goes, as long as that is
  // no small part of a small cache: so the parts of the index stay as full as they are.
  template <class Rows>
  bool victim(Rows* rows, uint64_t count, uint64_t hash, typename Rows::Hand* hand, typename Rows::Met* out) const {
    if (count >= kLocalFrom) {
      Rows::seek(hand, hash);
      if (next(rows, count / KeyedRows::kShards * 2, hand, out)) return true;
    }
    Rows::walk_all(hand);
    return next(rows, count, hand, out);
  }
  // Orders rows for a file: what was read most or last has the largest number.
  uint32_t warmth(uint8_t mark) const { return lru_ ? 127u - age(mark) : uint32_t(mark & kStamp); }

 private:
  static constexpr uint8_t kFreshReads = 0;
  static constexpr uint64_t kLocalFrom = 64 * KeyedRows::kShards;
  static constexpr uint32_t kCandidates = 16;    // of LRU
  static constexpr uint64_t kTicksPerTurn = 32;  // LRU: ticks while as many rows are inserted as there are

  uint32_t age(uint8_t mark) const { return (tick_.load(std::memory_order_relaxed) - mark) & kStamp; }

  template <class Rows>
  bool next(Rows* rows, uint64_t count, typename Rows::Hand* hand, typename Rows::Met* out) const {
    return lru_ ? oldest(rows, count, hand, out) : unread(rows, count, hand, out);
  }
  template <class Rows>
  bool unread(Rows* rows, uint64_t count, typename Rows::Hand* hand, typename Rows::Met* out) const {
    for (uint64_t steps = (kMostReads + 1) * count + 1; steps > 0 && rows->walk(hand, out); steps--) {
      uint8_t value = out->mark.value();
      if (!(value & kHeld)) continue;
      if (!(value & kStamp)) return true;
      out->mark.change(uint8_t(value - 1));
    }
    return false;
  }
  template <class Rows>
  bool oldest(Rows* rows, uint64_t count, typename Rows::Hand* hand, typename Rows::Met* out) const {
    uint32_t seen = 0;
    typename Rows::Met met;
    for (uint64_t steps = count + 1; steps > 0 && seen < kCandidates && rows->walk(hand, &met); steps--) {
      if (!(met.mark.value() & kHeld)) continue;
      if (seen++ == 0 || age(met.mark.value()) > age(out->mark.value())) *out = met;
    }
    return seen > 0;
  }

  const bool lru_, samples_hits_;
  const uint32_t admit_count_;
  const uint64_t most_rows_;
  uint64_t rows_left_;
  std::atomic<uint8_t> tick_{0};
  uint64_t since_tick_ = 0;
  std::unique_ptr<FrequencySketch> sketch_;  // TINYLFU, or admit_count > 1
};

}  // namespace gyr
