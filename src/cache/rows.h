// Where a cache's rows live: found by hash, or an array of pointers by row number. Rows are immutable once published
// and are replaced whole, so that readers never see half of one.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory_resource>
#include <vector>

#include "store/row_store.h"

namespace gyr {

class HashedRows {
 public:
  HashedRows(std::pmr::memory_resource* memory, uint32_t dim, uint64_t expected)
      : dim_(dim), store_(memory, {.expected_rows = expected, .prefetch_bytes = std::min(24 + dim * 4, 1024u)}) {}

  EpochDomain::ReadGuard read() const { return store_.read(); }
  void find(const int64_t* keys, size_t n, const float** out) const;
  void put(int64_t key, const float* row);
  bool remove(int64_t key) { return store_.erase(store_.key(&key)); }
  uint64_t size() const { return store_.size(); }
  uint64_t bytes() const { return store_.bytes(); }
  // Appends (key, row) pairs from *cursor on; needs a guard.
  void scan(uint64_t* cursor, size_t max_rows, std::vector<int64_t>* keys, std::vector<const float*>* rows) const;

 private:
  uint32_t dim_;
  KeyedRows store_;
};

class DenseRows {
 public:
  DenseRows(std::pmr::memory_resource* memory, uint32_t dim, uint64_t capacity);
  ~DenseRows();
  DenseRows(const DenseRows&) = delete;
  DenseRows& operator=(const DenseRows&) = delete;

  EpochDomain::ReadGuard read() const { return epochs_.enter(); }
  void find(const int64_t* keys, size_t n, const float** out) const;  // out of range = null
  void put(int64_t key, const float* row);
  bool remove(int64_t key);
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return sizeof *this + capacity_ * sizeof(rows_[0]) + size() * row_bytes(); }
  uint64_t capacity() const { return capacity_; }
  void scan(uint64_t* cursor, size_t max_rows, std::vector<int64_t>* keys, std::vector<const float*>* rows) const;

 private:
  size_t row_bytes() const { return size_t(dim_) * sizeof(float); }
  static void free_callback(void* p, void* self);

  std::pmr::memory_resource* const memory_;
  const uint32_t dim_;
  const uint64_t capacity_;
  std::atomic<float*>* rows_;
  std::atomic<uint64_t> size_{0};
  mutable EpochDomain epochs_;
};

}  // namespace gyr
