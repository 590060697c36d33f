#include "cache/rows.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "exec/huge_pages.h"

namespace gyr {
namespace {

constexpr uint64_t kSmallestChunk = uint64_t(64) << 10, kLargestChunk = uint64_t(8) << 20;  // of places
constexpr uint64_t kReserve = 16384;
constexpr uint64_t kChunks = 16;  // as long as they are neither of these
constexpr int64_t kWaitNs = 1'000'000;

uint64_t chunk_rows(uint64_t capacity, uint64_t stride) {
  const uint64_t bytes = std::clamp(capacity / kChunks * stride, kSmallestChunk, kLargestChunk);
  return std::max<uint64_t>(knobs::capacity(bytes) / stride, 1);
}

}  // namespace

void HashedRows::scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const {
  std::vector<StoredRow> found;
  store_.scan(cursor, max_rows, &found);
  for (auto& row : found) out->push_back({row.key_int(), row.payload, row.mark});
}

DenseRows::DenseRows(std::pmr::memory_resource* memory, uint32_t row_bytes, uint64_t capacity)
    : memory_(memory),
      row_bytes_(row_bytes),
      stride_(uint32_t(align_up(row_bytes, row_bytes <= 8 ? 8 : 16))),
      capacity_(capacity),
      chunk_bits_(uint32_t(std::bit_width(chunk_rows(capacity, stride_)) - 1)),
      aside_(memory, {.row_bytes = row_bytes, .prefetch_bytes = 0}) {
  // Room for one row aside, so that rows can be replaced when the budget is used up.
  const int64_t none = 0;
  const KeyRef ref = aside_.key(&none);
  aside_.drop_row(ref, aside_.make_row(ref, row_bytes));
  // One block: chunks, bits, states.
  auto* base = static_cast<uint8_t*>(take(head_bytes()));
  std::memset(base, 0, head_bytes());
  static_assert(kEmpty == 0);
  chunks_ = reinterpret_cast<std::atomic<uint8_t*>*>(base);
  here_ = reinterpret_cast<std::atomic<uint64_t>*>(base + align_up(chunks() * sizeof(chunks_[0]), 64));
  states_ = base + head_bytes() - capacity;
  refill_reserve();
}

DenseRows::~DenseRows() {
  for (uint64_t i = 0; i < chunks(); i++)
    if (uint8_t* chunk = chunks_[i].load(std::memory_order_relaxed)) give(chunk, chunk_bytes(i));
  give(chunks_, head_bytes());
  if (void* reserve = reserve_.load()) give(reserve, kReserve);
}

uint64_t DenseRows::head_bytes() const {
  return align_up(chunks() * sizeof(chunks_[0]), 64) + align_up(capacity_, 64) / 64 * sizeof(here_[0]) + capacity_;
}

void* DenseRows::take(uint64_t bytes) {
  void* p = memory_->allocate(bytes, huge_align(bytes, 64));
  advise_huge(p, bytes);
  own_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return p;
}

void DenseRows::give(void* p, uint64_t bytes) noexcept {
  own_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  memory_->deallocate(p, bytes, huge_align(bytes, 64));
}

uint64_t DenseRows::chunk_bytes(uint64_t chunk) const {
  return std::min(uint64_t(1) << chunk_bits_, capacity_ - (chunk << chunk_bits_)) * stride_;
}

void DenseRows::make_place(int64_t key) {
  const uint64_t i = uint64_t(key) >> chunk_bits_;
  if (chunks_[i].load(std::memory_order_acquire)) return;
  std::lock_guard lock(chunks_mutex_);
  if (!chunks_[i].load(std::memory_order_relaxed))
    chunks_[i].store(static_cast<uint8_t*>(take(chunk_bytes(i))), std::memory_order_release);
}

// A reader's: the row was not in its place a moment ago. What aside_ no longer has went back there.
const uint8_t* DenseRows::row(int64_t key) const {
  for (;;) {
    switch (state(key).load(std::memory_order_acquire)) {
      case kHere:
        return place(key);
      case kAside:
        if (const uint8_t* row = aside_.find(aside_.key(&key))) return row;
        break;
      default:
        return nullptr;
    }
  }
}

bool DenseRows::remove(int64_t key) {
  std::lock_guard lock(lock_of(key));
  const uint8_t was = state(key).load(std::memory_order_relaxed);
  if (was == kEmpty || was == kLeft) return false;
  if (was == kHere) reserve_wait();
  set(key, kLeft);
  size_.fetch_sub(1, std::memory_order_relaxed);
  if (was == kHere)
    wait_for_readers(key);
  else
    aside_.erase(aside_.key(&key));
  return true;
}

uint64_t DenseRows::remove(const int64_t* keys, size_t n) {
  uint64_t count = 0;
  for (size_t i = 0; i < n; i++) {
    count += remove(keys[i]);
    if (i + 1 == n || (i + 1) % kSettleEvery == 0) settle();
  }
  return count;
}

// Rows that went aside take room that they give back when they are home; the reserve comes back when there is room.
void DenseRows::make_room() {
  for (int round = 0; round < 2; round++) {
    aside_.epochs().synchronize();
    settle();
  }
  aside_.epochs().synchronize();
  if (void* reserve = reserve_.exchange(nullptr)) give(reserve, kReserve);
}

void DenseRows::refill_reserve() noexcept {
  if (reserve_.load(std::memory_order_relaxed)) return;
  try {
    void* fresh = take(kReserve);
    if (void* other = reserve_.exchange(fresh)) give(other, kReserve);
  } catch (const std::bad_alloc&) {
  }
}

// Room for a wait_for_readers(), while a lack of memory changes nothing yet.
void DenseRows::reserve_wait() {
  std::lock_guard lock(leaving_mutex_);
  const size_t need = leaving_.size() + promised_ + 1;
  if (need > leaving_.capacity()) leaving_.reserve(need * 2);
  promised_++;
}

void DenseRows::cancel_wait() noexcept {
  std::lock_guard lock(leaving_mutex_);
  promised_--;
}

void DenseRows::wait_for_readers(int64_t key) noexcept {
  std::lock_guard lock(leaving_mutex_);
  promised_--;
  leaving_.push_back(key);
}

// Brings home what readers have left, and lets the next ones wait for those that are inside now.
void DenseRows::settle() {
  std::unique_lock settling(settling_, std::try_to_lock);
  if (!settling) return;
  refill_reserve();
  for (bool waited = false;;) {
    if (!ripe_.load(std::memory_order_acquire)) {
      std::unique_lock lock(leaving_mutex_);
      if (waited || leaving_.size() + left_.size() < kMostWaiting) return;
      lock.unlock();
      waited = true;
      if (!aside_.epochs().synchronize_for(kWaitNs)) return;
      continue;
    }
    while (!left_.empty()) {
      settle(left_.back());
      left_.pop_back();
    }
    {
      std::lock_guard lock(leaving_mutex_);
      if (leaving_.empty()) return;
      try {
        left_.reserve(promised_);  // it will be leaving_
      } catch (const std::bad_alloc&) {
        return;  // a later writer's
      }
      left_.swap(leaving_);
    }
    ripe_.store(false, std::memory_order_relaxed);
    auto ripen = [](void* ripe, void*) {
      static_cast<std::atomic<bool>*>(ripe)->store(true, std::memory_order_release);
    };
    aside_.epochs().retire(&ripe_, ripen, nullptr);
    aside_.epochs().reclaim();
    if (!ripe_.load(std::memory_order_acquire)) return;
  }
}

void DenseRows::settle(int64_t key) {
  std::lock_guard lock(lock_of(key));
  if (state(key).load(std::memory_order_relaxed) == kLeft) return state(key).store(kEmpty, std::memory_order_relaxed);
  const KeyRef ref = aside_.key(&key);
  std::memcpy(place(key), aside_.find(ref), row_bytes_);
  set(key, kHere);
  aside_.erase(ref);
}

void DenseRows::scan(uint64_t* cursor, size_t max_rows, std::vector<CachedRow>* out) const {
  for (; *cursor < capacity_ && out->size() < max_rows; ++*cursor)
    if (const uint8_t* found = row(int64_t(*cursor))) out->push_back({int64_t(*cursor), found, 0});
  if (*cursor >= capacity_) *cursor = KeyedRows::kScanEnd;
}

}  // namespace gyr
