#include "cache/rows.h"

#include "base/error.h"

namespace gyr {
namespace {

constexpr size_t kRowAlign = 16, kArrayAlign = 64, kGroup = 64;

const float* floats(const Row* row) { return row ? reinterpret_cast<const float*>(row->payload()) : nullptr; }

}  // namespace

void HashedRows::find(const int64_t* keys, size_t n, const float** out) const {
  const Row* rows[kGroup];
  const size_t group = knobs::capacity(kGroup);
  for (size_t base = 0; base < n; base += group) {
    size_t m = std::min(group, n - base);
    store_.find(keys + base, m, rows);
    for (size_t i = 0; i < m; i++) out[base + i] = floats(rows[i]);
  }
}

void HashedRows::put(int64_t key, const float* row) {
  KeyRef k = store_.key(&key);
  store_.upsert(k, [&](const Row*) {
    Row* fresh = store_.make_row(k, size_t(dim_) * sizeof(float));
    std::memcpy(fresh->payload(), row, size_t(dim_) * sizeof(float));
    return fresh;
  });
}

void HashedRows::scan(uint64_t* cursor, size_t max_rows, std::vector<int64_t>* keys,
                      std::vector<const float*>* rows) const {
  std::vector<const Row*> found;
  store_.scan(cursor, max_rows, &found);
  for (const Row* row : found) {
    keys->push_back(row->key_int());
    rows->push_back(floats(row));
  }
}

DenseRows::DenseRows(std::pmr::memory_resource* memory, uint32_t dim, uint64_t capacity)
    : memory_(memory), dim_(dim), capacity_(capacity) {
  rows_ = static_cast<std::atomic<float*>*>(memory_->allocate(capacity * sizeof(rows_[0]), kArrayAlign));
  for (uint64_t i = 0; i < capacity; i++) new (&rows_[i]) std::atomic<float*>(nullptr);
}

DenseRows::~DenseRows() {
  for (uint64_t i = 0; i < capacity_; i++)
    if (float* row = rows_[i].load(std::memory_order_acquire)) memory_->deallocate(row, row_bytes(), kRowAlign);
  memory_->deallocate(rows_, capacity_ * sizeof(rows_[0]), kArrayAlign);
}

void DenseRows::free_callback(void* p, void* self) {
  auto* rows = static_cast<DenseRows*>(self);
  rows->memory_->deallocate(p, rows->row_bytes(), kRowAlign);
}

void DenseRows::find(const int64_t* keys, size_t n, const float** out) const {
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < n; i++) {
    if (i + kAhead < n && uint64_t(keys[i + kAhead]) < capacity_) __builtin_prefetch(&rows_[keys[i + kAhead]]);
    out[i] = uint64_t(keys[i]) < capacity_ ? rows_[keys[i]].load(std::memory_order_acquire) : nullptr;
    if (!out[i]) continue;
    for (size_t b = 0; b < std::min<size_t>(row_bytes(), 1024); b += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(out[i]) + b);
  }
}

void DenseRows::put(int64_t key, const float* row) {
  void* p;
  try {
    p = memory_->allocate(row_bytes(), kRowAlign);
  } catch (const BudgetExceeded&) {
    if (epochs_.waiting() == 0) throw;
    epochs_.synchronize();  // replaced rows count until readers have left them
    p = memory_->allocate(row_bytes(), kRowAlign);
  }
  std::memcpy(p, row, row_bytes());
  float* old = rows_[key].exchange(static_cast<float*>(p), std::memory_order_acq_rel);
  if (old)
    epochs_.retire(old, free_callback, this);
  else
    size_.fetch_add(1, std::memory_order_relaxed);
}

bool DenseRows::remove(int64_t key) {
  float* old = rows_[key].exchange(nullptr, std::memory_order_acq_rel);
  if (!old) return false;
  size_.fetch_sub(1, std::memory_order_relaxed);
  epochs_.retire(old, free_callback, this);
  return true;
}

void DenseRows::scan(uint64_t* cursor, size_t max_rows, std::vector<int64_t>* keys,
                     std::vector<const float*>* rows) const {
  for (; *cursor < capacity_ && rows->size() < max_rows; ++*cursor) {
    const float* row = rows_[*cursor].load(std::memory_order_acquire);
    if (!row) continue;
    keys->push_back(int64_t(*cursor));
    rows->push_back(row);
  }
  if (*cursor >= capacity_) *cursor = KeyedRows::kScanEnd;
}

}  // namespace gyr
