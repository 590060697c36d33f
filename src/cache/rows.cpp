#include "cache/rows.h"

#include "base/error.h"

namespace gyr {
namespace {

constexpr uint64_t kHuge = uint64_t(2) << 20;

}  // namespace

void HashedRows::scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const {
  std::vector<StoredRow> found;
  store_.scan(cursor, max_rows, &found);
  for (auto& row : found) out->push_back({row.key_int(), row.payload, row.mark});
}

size_t DenseRows::refs_align(uint64_t capacity) { return capacity * sizeof(refs_[0]) >= kHuge ? kHuge : 64; }

DenseRows::DenseRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t capacity)
    : memory_(memory), row_bytes_(row_bytes), capacity_(capacity), arena_(memory, row_bytes) {
  refs_ = static_cast<std::atomic<uint64_t>*>(memory_->allocate(capacity * sizeof(refs_[0]), refs_align(capacity)));
  advise_huge(refs_, capacity * sizeof(refs_[0]));
  for (uint64_t i = 0; i < capacity; i++) new (&refs_[i]) std::atomic<uint64_t>(0);
}

DenseRows::~DenseRows() { memory_->deallocate(refs_, capacity_ * sizeof(refs_[0]), refs_align(capacity_)); }

void DenseRows::free_callback(void* ref, void* self) {
  auto r = reinterpret_cast<uint64_t>(ref);
  static_cast<DenseRows*>(self)->arena_.free(uint32_t(r >> 16), r);
}

void DenseRows::retire(uint64_t ref) { epochs_.retire(reinterpret_cast<void*>(ref), free_callback, this); }

uint64_t DenseRows::make_row(int64_t key) {
  auto stripe = uint32_t(uint64_t(key) / 4096);  // neighbours share stretches of memory
  try {
    return arena_.allocate(stripe, row_bytes_);
  } catch (const BudgetExceeded&) {
    if (epochs_.waiting() == 0) throw;
  }
  epochs_.synchronize();  // replaced rows count until readers have left them
  return arena_.allocate(stripe, row_bytes_);
}

void DenseRows::publish(int64_t key, uint64_t fresh, bool replace) {
  uint64_t old = 0;
  if (replace)
    old = refs_[key].exchange(fresh, std::memory_order_acq_rel);
  else if (!refs_[key].compare_exchange_strong(old, fresh, std::memory_order_acq_rel))
    return retire(fresh);  // another writer was faster
  if (old)
    retire(old);
  else
    size_.fetch_add(1, std::memory_order_relaxed);
}

bool DenseRows::remove(int64_t key) {
  uint64_t old = refs_[key].exchange(0, std::memory_order_acq_rel);
  if (!old) return false;
  size_.fetch_sub(1, std::memory_order_relaxed);
  retire(old);
  return true;
}

bool DenseRows::walk(Hand* hand, Met* out) {
  for (uint64_t steps = 0; steps <= capacity_; steps++) {
    uint64_t key = *hand % capacity_;
    *hand = key + 1;
    uint64_t ref = refs_[key].load(std::memory_order_relaxed);
    if (!ref) continue;
    *out = {int64_t(key), {&refs_[key], ref}};
    return true;
  }
  return false;
}

void DenseRows::scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const {
  for (; *cursor < capacity_ && out->size() < max_rows; ++*cursor) {
    uint64_t ref = refs_[*cursor].load(std::memory_order_acquire);
    if (ref) out->push_back({int64_t(*cursor), RowArena::block(ref), RowArena::mark(ref)});
  }
  if (*cursor >= capacity_) *cursor = KeyedRows::kScanEnd;
}

}  // namespace gyr
