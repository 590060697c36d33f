// Safe reclamation for lock-free readers. A writer unlinks an object, retire()s it, and it is freed once every reader
// that might still see it has left. Readers register nowhere, lock nothing and allocate nothing: a guard is one atomic
// add on a striped counter at each end. The scheme is that of Linux SRCU (McKenney 2006): two counter phases, the
// writer waits for the idle phase, flips, and waits for the other one.
//
//   reader:  auto guard = domain.enter(); node = head.load(acquire); ... use node until guard dies
//   writer:  old = head.exchange(new_node, acq_rel); domain.retire(old, free_node, ctx);
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace gyr {

class EpochDomain {
 public:
  class ReadGuard {
   public:
    ReadGuard() = default;
    explicit ReadGuard(std::atomic<uint32_t>* count) : count_(count) {}
    ReadGuard(ReadGuard&& other) noexcept : count_(other.count_) { other.count_ = nullptr; }
    ReadGuard& operator=(ReadGuard&& other) noexcept {
      auto* mine = count_;
      count_ = other.count_;
      other.count_ = mine;
      return *this;
    }
    ~ReadGuard() {
      if (count_) count_->fetch_sub(1, std::memory_order_release);
    }

   private:
    std::atomic<uint32_t>* count_ = nullptr;
  };

  EpochDomain() = default;
  EpochDomain(const EpochDomain&) = delete;
  EpochDomain& operator=(const EpochDomain&) = delete;
  ~EpochDomain();  // frees everything retired; no reader may be inside

  // Any thread. Guards may nest and may end on another thread; hold them briefly.
  ReadGuard enter() const {
    auto* count = &stripes_[stripe()].inside[phase_.load(std::memory_order_relaxed) & 1];
    // acquire: pairs with the writer's read-modify-write in drained(). If that one came first, this reader sees what
    // the writer unlinked before it; if this one came first, the writer sees the count and waits.
    count->fetch_add(1, std::memory_order_acq_rel);
    return ReadGuard(count);
  }

  // Frees p by free(p, ctx) once no reader can see it. p must be unlinked already. Any thread, but not while it holds a
  // guard of this domain. `free` runs on a thread that retires or reclaims, and must not call the domain.
  // Past kSoftLimit waiting objects a call waits up to a millisecond for readers, so that writers cannot outrun them.
  void retire(void* p, void (*free)(void* p, void* ctx), void* ctx);
  // One try: frees what may be freed now, waits for nobody.
  void reclaim();
  // Waits until everything retired before the call is free. Not while holding a guard of this domain.
  void synchronize();
  // The same, but gives up after `ns`: for callers that a reader might in the end be waiting for. True when all is
  // free.
  bool synchronize_for(int64_t ns);
  // Waits until every reader that was inside before the call has left; frees nothing. Not while holding a guard of this
  // domain.
  void wait_for_readers();
  uint64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

  static constexpr uint64_t kSoftLimit = 4096;

 private:
  struct Retired {
    void* p;
    void (*free)(void*, void*);
    void* ctx;
  };
  struct alignas(64) Stripe {
    std::atomic<uint32_t> inside[2] = {0, 0};
  };
  static constexpr uint32_t kStripes = 64;
  static constexpr uint32_t kReclaimEvery = 64;

  static uint32_t stripe() {
    static thread_local uint32_t mine = 0;  // 0 = not chosen yet
    if (mine == 0) mine = next_stripe_.fetch_add(1, std::memory_order_relaxed) * 2 + 1;
    return mine / 2 % kStripes;
  }
  bool drained(uint32_t phase);
  bool advance();
  void finish_batch(std::unique_lock<std::mutex>& lock);

  static inline std::atomic<uint32_t> next_stripe_{0};
  mutable Stripe stripes_[kStripes];
  // Readers' line: writers change it once per grace period, and what they change often lies on others.
  alignas(64) std::atomic<uint32_t> phase_{0};
  alignas(64) std::atomic<uint64_t> waiting_{0};

  std::mutex mutex_;
  std::vector<Retired> fresh_;  // retired, waiting for the next grace period
  std::vector<Retired> batch_;  // in the grace period under way
  bool flipped_ = false;        // the idle phase was seen empty and the phases were exchanged
  bool freeing_ = false;        // some thread runs the callbacks of the last batch; the next one waits for it
  uint64_t finished_ = 0;       // batches freed
};

}  // namespace gyr
