// Rows in memory with what decides which of them stay. Without a limit and a tier (no Eviction) these are just the
// rows; Rows without marks are always that. With one, writers are one at a time: the limit holds exactly, and a batch
// goes in as a whole or not at all.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "cache/eviction.h"
#include "cache/rows.h"

namespace gyr {

template <class Rows>
class KeptRows {
 public:
  template <class... Args>
  explicit KeptRows(std::unique_ptr<Eviction> eviction, Args&&... rows)
      : rows_(std::forward<Args>(rows)...), eviction_(std::move(eviction)) {}

  const Rows& rows() const { return rows_; }
  const Eviction* eviction() const { return eviction_.get(); }
  EpochDomain::ReadGuard read() const { return rows_.read(); }
  // A moment's number; without an Eviction the sum of what is counted one after the other.
  uint64_t size() const { return eviction_ ? count_.load(std::memory_order_relaxed) : rows_.size(); }
  bool full() const { return eviction_ && eviction_->full(count_.load(std::memory_order_relaxed)); }
  uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  uint64_t pinned() const {  // rows that may not go
    uint64_t count = count_.load(std::memory_order_relaxed), held = held_.load(std::memory_order_relaxed);
    return count > held ? count - held : 0;
  }

  // Rows::find; what is found counts as read.
  template <class Use>
  void find(const int64_t* keys, size_t n, Use&& use) const {
    if constexpr (Rows::kMarks) {
      if (eviction_) return rows_.find(keys, n, use, Eviction::Touch(*eviction_));
    }
    rows_.find(keys, n, use);
  }

  // write(i, to) fills the row of keys[i]. held: the tier holds them, so that those that the memory budget has no room
  // for may stay there. Keys in `mixed` (nullable) are dropped instead:
  // their row is not known.
  template <class Write>
  Status store(const int64_t* keys, uint64_t n, bool held, const std::vector<bool>* mixed, Write&& write) {
    if constexpr (!Rows::kMarks) {
      rows_.put(keys, n, write);
      return {};
    } else {
      if (eviction_) return store_kept(keys, n, held, mixed, write);
      rows_.put(keys, n, 0, write);
      return {};
    }
  }

  // Rows that the tier gave, where there is none yet. all: whatever the admission says.
  void keep(const int64_t* keys, const uint8_t* rows, size_t n, size_t row_bytes, bool all) requires Rows::kMarks {
    std::lock_guard lock(writers_);
    for (size_t i = 0; i < n; i++) {
      if (rows_.mark(keys[i]) >= 0) continue;
      uint64_t hash = hash64(keys[i]);
      if (!all && !eviction_->admits(hash)) continue;
      if (full() && (all || !evict_for(hash))) continue;
      insert(keys[i], true, [&](uint8_t* to) { std::memcpy(to, rows + i * row_bytes, row_bytes); });
    }
  }

  uint64_t remove(const int64_t* keys, uint64_t n) {
    if constexpr (!Rows::kMarks) {
      return rows_.remove(keys, n);
    } else {
      auto lock = eviction_ ? std::unique_lock(writers_) : std::unique_lock<std::mutex>();
      uint64_t count = 0;
      for (uint64_t i = 0; i < n; i++) count += eviction_ ? erase(keys[i]) : rows_.remove(keys[i]);
      return count;
    }
  }

  // Whether store() would have room.
  Status check_room(const int64_t* keys, uint64_t n, bool held) requires Rows::kMarks {
    std::lock_guard lock(writers_);
    return check_locked(keys, n, held);
  }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  template <class Write>
  Status store_kept(const int64_t* keys, uint64_t n, bool held, const std::vector<bool>* mixed, Write&& write) {
    std::lock_guard lock(writers_);
    GYR_TRY(check_locked(keys, n, held));
    for (uint64_t i = 0; i < n; i++) {
      if (mixed && (*mixed)[i]) {
        erase(keys[i]);
        continue;
      }
      if (full() && rows_.mark(keys[i]) < 0) evict(hash64(keys[i]));
      insert(keys[i], held, [&](uint8_t* to) { write(i, to); });
    }
    return {};
  }

  static bool is_held(int mark) { return mark >= 0 && (mark & Eviction::kHeld); }

  // Rows that the tier does not hold must all fit; others need room for one at a time.
  Status check_locked(const int64_t* keys, uint64_t n, bool held) const {
    const uint64_t most = eviction_->most_rows(), stay = pinned();
    if (held ? stay < most : n <= most && stay <= most - n) return {};
    std::vector<int64_t> all(keys, keys + n);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    uint64_t more = 0;
    for (int64_t key : all) {
      int mark = rows_.mark(key);
      more += mark < 0 || (!held && is_held(mark));
    }
    if (more == 0 || (!held && stay + more <= most)) return {};
    return fail(GYR_E_RESOURCE_EXHAUSTED, "cache",
                "the limit is %llu rows, of which %llu may not go, since no tier holds them; there is no room for %llu "
                "more; nothing was inserted",
                (unsigned long long)most, (unsigned long long)stay, (unsigned long long)more);
  }

  template <class Write>
  void insert(int64_t key, bool held, Write&& write) {
    int before = rows_.mark(key);
    try {
      rows_.put(&key, 1, eviction_->fresh_mark(held), [&](size_t, uint8_t* to) { write(to); });
    } catch (const BudgetExceeded&) {
      if (!held) throw;
      erase(key);  // the tier has the row, and what is here may be an older one
      return;
    }
    add(&count_, before < 0 ? 1 : 0);
    add(&held_, int64_t(held) - int64_t(is_held(before)));
    eviction_->inserted(count_.load(kRelaxed));
  }

  bool erase(int64_t key) {
    int mark = rows_.mark(key);
    if (mark < 0 || !rows_.remove(key)) return false;
    add(&count_, -1);
    add(&held_, is_held(mark) ? -1 : 0);
    return true;
  }

  // The row that goes next for one of this hash, if one may.
  bool victim(uint64_t hash, typename Rows::Met* out) {
    return held_.load(kRelaxed) > 0 && eviction_->victim(&rows_, count_.load(kRelaxed), hash, &hand_, out);
  }
  void evict(uint64_t hash) {
    typename Rows::Met met;
    for (; count_.load(kRelaxed) > eviction_->rows_left() && victim(hash, &met) && erase(met.key); hash = mix64(hash))
      evicted_.fetch_add(1, kRelaxed);
  }
  // Room for a row that was fetched; false when what would go is worth more.
  bool evict_for(uint64_t hash) {
    typename Rows::Met met;
    if (!victim(hash, &met) || !eviction_->prefers(hash, hash64(met.key)) || !erase(met.key)) return false;
    evicted_.fetch_add(1, kRelaxed);
    evict(mix64(hash));
    return true;
  }

  // Only the writer adds.
  static void add(std::atomic<uint64_t>* to, int64_t n) { to->store(to->load(kRelaxed) + uint64_t(n), kRelaxed); }

  Rows rows_;
  const std::unique_ptr<Eviction> eviction_;
  std::mutex writers_;  // with eviction_; of what follows
  typename Rows::Hand hand_{};
  std::atomic<uint64_t> count_{0}, held_{0}, evicted_{0};
};

}  // namespace gyr
