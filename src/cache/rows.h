// Where a cache's rows live: found by hash, or by row number. Rows are immutable once published and are replaced whole,
// so that readers never see half of one. Both hand out groups of rows whose cache misses overlap:
//   find(keys, n, use): use(first, m, const uint8_t* const* rows) for keys[first, first + m) in order; null = missing.
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
};

class HashedRows {
 public:
  HashedRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t expected)
      : row_bytes_(row_bytes),
        store_(memory,
               {.expected_rows = expected, .row_bytes = row_bytes, .prefetch_bytes = std::min(row_bytes, 1024u)}) {}

  EpochDomain::ReadGuard read() const { return store_.read(); }
  template <class Use>
  void find(const int64_t* keys, size_t n, Use&& use) const {
    store_.find(keys, n, use);
  }
  // write(i, to) fills the row of keys[i], row_bytes long.
  template <class Write>
  void put(const int64_t* keys, size_t n, Write&& write);
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
  template <class Use>
  void find(const int64_t* keys, size_t n, Use&& use) const;  // out of range = missing
  template <class Write>
  void put(const int64_t* keys, size_t n, Write&& write) {
    for (size_t i = 0; i < n; i++) {
      uint64_t fresh = make_row(keys[i]);
      write(i, RowArena::block(fresh));
      publish(keys[i], fresh);
    }
  }
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
  void publish(int64_t key, uint64_t fresh);
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
void HashedRows::put(const int64_t* keys, size_t n, Write&& write) {
  constexpr size_t kGroup = KeyedRows::kGroup;
  KeyRef refs[kGroup];
  const size_t group = knobs::capacity(kGroup);
  for (size_t base = 0; base < n; base += group) {  // misses of a group overlap
    size_t m = std::min(group, n - base);
    for (size_t i = 0; i < m; i++) refs[i] = store_.key(&keys[base + i]);
    store_.prefetch(refs, m, false);
    for (size_t i = 0; i < m; i++) {
      store_.upsert(refs[i], [&](const uint8_t*) {
        auto fresh = store_.make_row(refs[i], row_bytes_);
        write(base + i, fresh.payload);
        return fresh;
      });
    }
  }
}

template <class Use>
void DenseRows::find(const int64_t* keys, size_t n, Use&& use) const {
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
        const uint8_t* row = RowArena::block(ref(keys[g * group + i], std::memory_order_acquire));
        rows[g % 2][i] = row;
        if (!row) continue;
        for (uint32_t b = 0; b < std::min(row_bytes_, 1024u); b += 64) __builtin_prefetch(row + b);
      }
    }
    if (g) use((g - 1) * group, count(g - 1), static_cast<const uint8_t* const*>(rows[(g - 1) % 2]));
  }
}

}  // namespace gyr
