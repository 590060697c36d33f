// Where a cache's rows live: found by hash, or by row number. Rows are immutable once published and are replaced whole,
// so that readers never see half of one. Both hand out groups of rows whose cache misses overlap:
//   find(keys, n, use[, touch]): use(first, m, const uint8_t* const* rows) for keys[first, first + m) in order; null =
//   missing; touch(mark, hash) for every row found, before.
// Each row has a mark (KeyedRows::Mark): the eviction's 8 bits.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory_resource>
#include <vector>

#include "store/row_store.h"

namespace gyr {

struct CachedRow {
  int64_t key;
  const uint8_t* row;
  uint8_t mark;
};

struct NoTouch {};

class HashedRows {
 public:
  HashedRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t expected)
      : row_bytes_(row_bytes),
        store_(memory,
               {.expected_rows = expected, .row_bytes = row_bytes, .prefetch_bytes = std::min(row_bytes, 1024u)}) {}

  EpochDomain::ReadGuard read() const { return store_.read(); }
  using Mark = KeyedRows::Mark;
  using Hand = KeyedRows::Hand;
  struct Met {
    int64_t key;
    Mark mark;
  };

  template <class Use, class Touch = NoTouch>
  void find(const int64_t* keys, size_t n, Use&& use, const Touch& touch = {}) const {
    if constexpr (std::is_same_v<Touch, NoTouch>)
      store_.find(keys, n, use);
    else
      store_.find(keys, n, use, touch);
  }
  // write(i, to) fills the row of keys[i], row_bytes long. Without `replace`, rows that are there stay.
  template <class Write>
  void put(const int64_t* keys, size_t n, uint8_t mark, bool replace, Write&& write);
  int mark(int64_t key) const { return store_.mark(store_.key(&key)); }  // -1 = no row
  // KeyedRows::walk: the next row, around and around, for the only writer. seek(): where keys of this hash are.
  static void seek(Hand* hand, uint64_t hash) { KeyedRows::seek(hand, hash); }
  static void walk_all(Hand* hand) { KeyedRows::walk_all(hand); }
  bool walk(Hand* hand, Met* out) {
    KeyedRows::Met met;
    if (!store_.walk(hand, &met)) return false;
    *out = {int64_t(met.word), met.mark};
    return true;
  }
  bool remove(int64_t key) { return store_.erase(store_.key(&key)); }
  uint64_t size() const { return store_.size(); }
  uint64_t bytes() const { return store_.bytes(); }
  // Appends rows from *cursor on; needs a guard.
  void scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const;

 private:
  const uint32_t row_bytes_;
  KeyedRows store_;
};

class DenseRows {
 public:
  DenseRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t capacity);
  ~DenseRows();
  DenseRows(const DenseRows&) = delete;
  DenseRows& operator=(const DenseRows&) = delete;

  EpochDomain::ReadGuard read() const { return epochs_.enter(); }
  using Mark = KeyedRows::Mark;
  using Hand = uint64_t;
  using Met = HashedRows::Met;

  template <class Use, class Touch = NoTouch>
  void find(const int64_t* keys, size_t n, Use&& use, const Touch& touch = {}) const;  // out of range = missing
  template <class Write>
  void put(const int64_t* keys, size_t n, uint8_t mark, bool replace, Write&& write) {
    for (size_t i = 0; i < n; i++) {
      if (!replace && ref(keys[i], std::memory_order_relaxed)) continue;
      uint64_t fresh = make_row(keys[i]) | uint64_t(mark) << RowArena::kMarkShift;
      write(i, RowArena::block(fresh));
      publish(keys[i], fresh, replace);
    }
  }
  int mark(int64_t key) const {
    uint64_t r = ref(key, std::memory_order_relaxed);
    return r ? RowArena::mark(r) : -1;
  }
  static void seek(Hand*, uint64_t) {}
  static void walk_all(Hand*) {}
  bool walk(Hand* hand, Met* out);
  bool remove(int64_t key);
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return sizeof *this + capacity_ * sizeof(refs_[0]) + arena_.bytes(); }
  uint64_t capacity() const { return capacity_; }
  void scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const;

 private:
  static constexpr size_t kGroup = 32;

  uint64_t ref(int64_t key, std::memory_order order) const {
    return uint64_t(key) < capacity_ ? refs_[key].load(order) : 0;
  }
  uint64_t make_row(int64_t key);
  void publish(int64_t key, uint64_t fresh, bool replace);
  void retire(uint64_t ref);
  static void free_callback(void* ref, void* self);
  static size_t refs_align(uint64_t capacity);

  std::pmr::memory_resource* const memory_;
  const uint32_t row_bytes_;
  const uint64_t capacity_;
  RowArena arena_;
  std::atomic<uint64_t>* refs_;  // of the arena; 0 = no row
  std::atomic<uint64_t> size_{0};
  mutable EpochDomain epochs_;
};

template <class Write>
void HashedRows::put(const int64_t* keys, size_t n, uint8_t mark, bool replace, Write&& write) {
  constexpr size_t kGroup = KeyedRows::kGroup;
  KeyRef refs[kGroup];
  const size_t group = knobs::capacity(kGroup);
  for (size_t base = 0; base < n; base += group) {  // misses of a group overlap
    size_t m = std::min(group, n - base);
    for (size_t i = 0; i < m; i++) refs[i] = store_.key(&keys[base + i]);
    store_.prefetch(refs, m, false);
    for (size_t i = 0; i < m; i++) {
      store_.upsert(refs[i], [&](const uint8_t* old) {
        if (old && !replace) return KeyedRows::NewRow();
        auto fresh = store_.make_row(refs[i], row_bytes_);
        write(base + i, fresh.payload);
        fresh.ref |= uint64_t(mark) << RowArena::kMarkShift;
        return fresh;
      });
    }
  }
}

template <class Use, class Touch>
void DenseRows::find(const int64_t* keys, size_t n, Use&& use, [[maybe_unused]] const Touch& touch) const {
  const uint8_t* rows[2][kGroup];
  const size_t group = knobs::capacity(kGroup), groups = (n + group - 1) / group;
  auto count = [&](size_t g) { return g + 1 < groups ? group : n - g * group; };
  auto ask = [&](size_t g) {
    for (size_t i = g * group, end = i + count(g); i < end; i++)
      if (uint64_t(keys[i]) < capacity_) __builtin_prefetch(&refs_[keys[i]]);
  };
  if (groups) ask(0);
  if (groups > 1) ask(1);
  for (size_t g = 0; g <= groups; g++) {
    if (g < groups) {
      if (g + 2 < groups) ask(g + 2);
      for (size_t i = 0, m = count(g); i < m; i++) {
        uint64_t found = ref(keys[g * group + i], std::memory_order_acquire);
        const uint8_t* row = RowArena::block(found);
        rows[g % 2][i] = row;
        if (!row) continue;
        if constexpr (!std::is_same_v<Touch, NoTouch>)
          touch(Mark{&refs_[keys[g * group + i]], found}, hash64(&keys[g * group + i], sizeof keys[0]));
        for (uint32_t b = 0; b < std::min(row_bytes_, 1024u); b += 64) __builtin_prefetch(row + b);
      }
    }
    if (g) use((g - 1) * group, count(g - 1), static_cast<const uint8_t* const*>(rows[(g - 1) % 2]));
  }
}

}  // namespace gyr
