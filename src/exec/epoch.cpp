#include "exec/epoch.h"

#include <sched.h>
#include <time.h>

#include <new>

#include "base/clock.h"
#include "base/knobs.h"

namespace gyr {

// True when no reader that entered under `phase` before this call is left. The read-modify-write (not a load) puts the
// scan into each counter's modification order, which is what makes enter() see the unlinking without a fence.
bool EpochDomain::drained(uint32_t phase) {
  for (auto& s : stripes_)
    if (s.inside[phase & 1].fetch_add(0, std::memory_order_acq_rel) != 0) return false;
  return true;
}

// Moves the grace period on as far as it goes without waiting. True when batch_ may be freed.
// A reader that read the phase before a flip may count itself under the old phase after it; it is then one of those who
// see the unlinking, because the scan that missed it came first.
bool EpochDomain::advance() {
  if (freeing_) return false;
  if (batch_.empty()) {
    if (fresh_.empty()) return false;
    batch_.swap(fresh_);
    flipped_ = false;
  }
  uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (!flipped_) {
    if (!drained(phase + 1)) return false;
    phase_.store(++phase, std::memory_order_relaxed);
    flipped_ = true;
  }
  return drained(phase + 1);
}

// Frees the batch outside the lock: the callbacks may be slow.
void EpochDomain::finish_batch(std::unique_lock<std::mutex>& lock) {
  std::vector<Retired> done;
  done.swap(batch_);
  flipped_ = false;
  freeing_ = true;
  lock.unlock();
  for (auto& r : done) r.free(r.p, r.ctx);
  waiting_.fetch_sub(done.size(), std::memory_order_relaxed);
  lock.lock();
  freeing_ = false;
  finished_++;
  // Keeps the capacity, so a steady writer stops allocating.
  done.clear();
  if (fresh_.empty() && fresh_.capacity() < done.capacity()) fresh_.swap(done);
}

// An empty grace period. Two flips leave the phase as the batch under way knows it.
void EpochDomain::wait_for_readers() {
  std::lock_guard lock(mutex_);
  for (int round = 0; round < 2; round++) {
    uint32_t phase = phase_.load(std::memory_order_relaxed);
    for (int i = 0; !drained(phase + 1); i++) {
      timespec pause{0, 20'000};
      i < 100 ? void(sched_yield()) : void(nanosleep(&pause, nullptr));
    }
    phase_.store(phase + 1, std::memory_order_relaxed);
  }
}

void EpochDomain::retire(void* p, void (*free)(void*, void*), void* ctx) {
  uint64_t waiting = waiting_.fetch_add(1, std::memory_order_relaxed) + 1;
  bool stored = true;
  {
    std::lock_guard lock(mutex_);
    try {
      fresh_.push_back({p, free, ctx});
    } catch (const std::bad_alloc&) {
      stored = false;
    }
  }
  if (!stored) {
    wait_for_readers();  // no memory to remember it
    free(p, ctx);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  if (waiting % knobs::capacity(kReclaimEvery) == 0 || waiting > kSoftLimit) reclaim();
  if (waiting <= kSoftLimit) return;
  for (int64_t until = monotonic_ns() + 1'000'000; this->waiting() > kSoftLimit && monotonic_ns() < until;) {
    sched_yield();
    reclaim();
  }
}

void EpochDomain::reclaim() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock && advance()) finish_batch(lock);
}

void EpochDomain::synchronize() {
  std::unique_lock lock(mutex_);
  // What is fresh now is freed by the grace period after the one under way.
  uint64_t target = finished_ + (batch_.empty() && !freeing_ ? 0 : 1) + (fresh_.empty() ? 0 : 1);
  while (finished_ < target) {
    if (advance()) {
      finish_batch(lock);
    } else {
      lock.unlock();
      sched_yield();
      lock.lock();
    }
  }
}

bool EpochDomain::synchronize_for(int64_t ns) {
  for (int64_t until = monotonic_ns() + ns;;) {
    reclaim();
    if (waiting() == 0) return true;
    if (monotonic_ns() > until) return false;
    timespec pause{0, 100'000};
    nanosleep(&pause, nullptr);
  }
}

EpochDomain::~EpochDomain() {
  for (auto* list : {&batch_, &fresh_})
    for (auto& r : *list) r.free(r.p, r.ctx);
}

}  // namespace gyr
