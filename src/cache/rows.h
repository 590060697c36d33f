// Where a cache's rows live: found by hash, or by row number. Rows are replaced whole, so that readers never see half
// of one. Both hand out groups of rows whose cache misses overlap:
//   find(keys, n, use): use(first, m, const uint8_t* const* rows) for keys[first, first + m) in order; null = missing.
// Hashed rows have a mark each (KeyedRows::Mark): the eviction's 8 bits.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory_resource>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "store/row_store.h"

namespace gyr {

struct CachedRow {
  int64_t key;
  const uint8_t* row;
  uint8_t mark;
};

class HashedRows {
 public:
  static constexpr bool kMarks = true;
  HashedRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t expected)
      : row_bytes_(row_bytes),
        store_(memory, {.expected_rows = expected, .row_bytes = row_bytes, .prefetch_bytes = 0}) {}

  EpochDomain::ReadGuard read() const { return store_.read(); }
  using Mark = KeyedRows::Mark;
  using Hand = KeyedRows::Hand;
  struct Met {
    int64_t key;
    Mark mark;
  };

  // touch(mark, hash) for every row found, before it is used.
  template <class Use, class... Touch>
  void find(const int64_t* keys, size_t n, Use&& use, const Touch&... touch) const {
    store_.find(keys, n, use, touch...);
  }
  // write(i, to) fills the row of keys[i], row_bytes long.
  template <class Write>
  void put(const int64_t* keys, size_t n, uint8_t mark, Write&& write);
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

// Rows at their number, without an index: one bit per row says whether it is there. A row that readers may be
// looking at is not written over: its successor goes aside, into a KeyedRows, and is copied to its place when those
// readers have left, by whichever writer comes next.
class DenseRows {
 public:
  static constexpr bool kMarks = false;
  DenseRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t capacity);
  ~DenseRows();
  DenseRows(const DenseRows&) = delete;
  DenseRows& operator=(const DenseRows&) = delete;

  EpochDomain::ReadGuard read() const { return aside_.read(); }
  using Hand = HashedRows::Hand;
  using Met = HashedRows::Met;

  template <class Use>
  void find(const int64_t* keys, size_t n, Use&& use) const;  // out of range = missing
  template <class Write>
  void put(const int64_t* keys, size_t n, Write&& write) {
    for (size_t i = 0; i < n; i++) {
      auto one = [&](uint8_t* to) { write(i, to); };
      try {
        put(keys[i], one);
      } catch (const BudgetExceeded&) {
        make_room();
        put(keys[i], one);
      }
      if (i + 1 == n || (i + 1) % kSettleEvery == 0) settle();
    }
  }
  uint64_t remove(const int64_t* keys, size_t n);
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return sizeof *this + own_bytes_.load(std::memory_order_relaxed) + aside_.bytes(); }
  void scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const;

 private:
  // kEmpty: nobody can be reading the place. kLeft: the row was removed, somebody may be. kHere: it is in its place.
  // kAside: it is in aside_. Rows that are kAside or kLeft wait in leaving_ or left_ for their readers, once each:
  // twice would be too early the first time.
  enum State : uint8_t { kEmpty, kHere, kAside, kLeft };
  static constexpr size_t kGroup = 32;
  static constexpr uint32_t kLocks = 64;
  static constexpr uint64_t kMostWaiting = 4096, kSettleEvery = 1024;  // rows

  std::atomic_ref<uint8_t> state(int64_t key) const { return std::atomic_ref<uint8_t>(states_[key]); }
  // With the row's lock, which is that of its word in here_, too.
  void set(int64_t key, State to) {
    auto& word = here_[key / 64];
    const uint64_t bit = uint64_t(1) << key % 64, now = word.load(std::memory_order_relaxed);
    state(key).store(to, std::memory_order_release);
    word.store(to == kHere ? now | bit : now & ~bit, std::memory_order_release);
  }
  // Null as long as no row was near it.
  uint8_t* place(int64_t key) const {
    uint8_t* chunk = chunks_[uint64_t(key) >> chunk_bits_].load(std::memory_order_acquire);
    return chunk ? chunk + (uint64_t(key) & ((uint64_t(1) << chunk_bits_) - 1)) * stride_ : nullptr;
  }
  const uint8_t* row(int64_t key) const;
  std::mutex& lock_of(int64_t key) { return locks_[uint64_t(key) / 64 % kLocks]; }
  template <class Write>
  void put(int64_t key, Write&& write);
  bool remove(int64_t key);
  void make_place(int64_t key);
  uint64_t chunks() const { return ((capacity_ - 1) >> chunk_bits_) + 1; }
  uint64_t chunk_bytes(uint64_t chunk) const;
  uint64_t head_bytes() const;
  void* take(uint64_t bytes);
  void give(void* p, uint64_t bytes) noexcept;
  void reserve_wait();
  void cancel_wait() noexcept;
  void wait_for_readers(int64_t key) noexcept;
  void settle();
  void settle(int64_t key);
  void make_room();
  void refill_reserve() noexcept;

  std::pmr::memory_resource* const memory_;
  const uint32_t row_bytes_, stride_;
  const uint64_t capacity_;
  const uint32_t chunk_bits_;
  uint8_t* states_ = nullptr;
  std::atomic<uint64_t>* here_ = nullptr;  // a bit for every row that is kHere: what readers look at first is small
  std::atomic<uint8_t*>* chunks_ = nullptr;
  std::atomic<uint64_t> size_{0}, own_bytes_{0};
  std::atomic<void*> reserve_{nullptr};  // what aside_'s index may need when the budget is used up
  std::mutex locks_[kLocks];
  std::mutex chunks_mutex_;   // taken inside a row's lock
  std::mutex leaving_mutex_;  // of the next two; taken inside a row's lock
  std::vector<int64_t> leaving_;
  size_t promised_ = 0;           // places in leaving_ for writes that are under way
  std::mutex settling_;           // of what follows; a row's lock is taken inside
  std::vector<int64_t> left_;     // left before `ripe_` was last cleared
  std::atomic<bool> ripe_{true};  // the readers of that moment are gone
  KeyedRows aside_;               // last member: everybody's epochs
};

template <class Write>
void HashedRows::put(const int64_t* keys, size_t n, uint8_t mark, Write&& write) {
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
        fresh.ref |= uint64_t(mark) << RowArena::kMarkShift;
        return fresh;
      });
    }
  }
}

template <class Use>
void DenseRows::find(const int64_t* keys, size_t n, Use&& use) const {
  const uint8_t* rows[kGroup];
  const size_t group = knobs::capacity(kGroup), groups = (n + group - 1) / group;
  auto count = [&](size_t g) { return g + 1 < groups ? group : n - g * group; };
  auto ask = [&](size_t g) {
    for (size_t i = g * group, end = i + count(g); i < end; i++)
      if (uint64_t(keys[i]) < capacity_) __builtin_prefetch(&here_[keys[i] / 64]);
  };
  if (groups) ask(0);
  for (size_t g = 0; g < groups; g++) {
    if (g + 1 < groups) ask(g + 1);
    const size_t m = count(g);
    for (size_t i = 0; i < m; i++) {
      const int64_t key = keys[g * group + i];
      if (uint64_t(key) >= capacity_)
        rows[i] = nullptr;
      else
        rows[i] = here_[key / 64].load(std::memory_order_acquire) >> key % 64 & 1 ? place(key) : row(key);
    }
    use(g * group, m, static_cast<const uint8_t* const*>(rows));
  }
}

template <class Write>
void DenseRows::put(int64_t key, Write&& write) {
  std::lock_guard lock(lock_of(key));
  const uint8_t was = state(key).load(std::memory_order_relaxed);
  if (was == kEmpty) {
    make_place(key);
    write(place(key));
    set(key, kHere);
    size_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (was == kHere) reserve_wait();
  const KeyRef ref = aside_.key(&key);
  try {
    aside_.upsert(ref, [&](const uint8_t*) {
      auto fresh = aside_.make_row(ref, row_bytes_);
      write(fresh.payload);
      return fresh;
    });
  } catch (...) {
    if (was == kHere) cancel_wait();
    throw;
  }
  set(key, kAside);
  if (was == kLeft) size_.fetch_add(1, std::memory_order_relaxed);
  if (was == kHere) wait_for_readers(key);
}

}  // namespace gyr
