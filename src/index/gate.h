// Who reads an index and who changes it: any number of readers, or one writer. Readers are counted by an epoch domain's
// stripes, so that they share no line; a writer closes the gate and waits until those inside have left. Readers that
// hold it for long ask wanted() now and then, and go out and in again, so that nobody waits longer than for one query.
#pragma once

#include <atomic>
#include <mutex>

#include "base/clock.h"
#include "exec/epoch.h"

namespace gyr::index {

// Who waits gets it next, however soon its holder wants it again.
class FairMutex {
 public:
  void lock() {
    std::lock_guard turn(turn_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex turn_, mutex_;
};

class Gate {
 public:
  void lock() {
    turn_.lock();
    // Without yielding: where there are more threads than cores a turn of the others takes milliseconds.
    if (outside_.load(std::memory_order_relaxed) > 0)
      for (const int64_t end = monotonic_ns() + kPatience;
           outside_.load(std::memory_order_relaxed) > 0 && monotonic_ns() < end;)
        continue;
    closed_.store(1, std::memory_order_seq_cst);
    readers_.wait_for_readers();
  }
  void unlock() {
    closed_.store(0, std::memory_order_seq_cst);
    if (outside_.load(std::memory_order_seq_cst) > 0) closed_.notify_all();
    turn_.unlock();
  }

  class Reader {
   public:
    explicit Reader(Gate& gate) : gate_(gate), guard_(gate.enter()) {}
    // Lets a writer in that waits. True when one was: what was looked up before may no longer be so.
    bool give_way() {
      if (!gate_.wanted()) return false;
      guard_ = EpochDomain::ReadGuard();
      guard_ = gate_.enter();
      return true;
    }

   private:
    Gate& gate_;
    EpochDomain::ReadGuard guard_;
  };
  bool wanted() const { return closed_.load(std::memory_order_relaxed); }

 private:
  static constexpr int64_t kPatience = 50'000;  // ns, a writer's, with readers that the last one kept outside

  // The domain's counters order a reader's look at `closed_` after what a writer that did not see it has stored.
  EpochDomain::ReadGuard enter() {
    for (;;) {
      {
        auto guard = readers_.enter();
        if (!closed_.load(std::memory_order_acquire)) return guard;
      }
      outside_.fetch_add(1, std::memory_order_seq_cst);
      closed_.wait(1, std::memory_order_seq_cst);
      outside_.fetch_sub(1, std::memory_order_relaxed);
    }
  }

  EpochDomain readers_;
  alignas(64) std::atomic<int> closed_{0}, outside_{0};
  std::mutex turn_;  // one writer
};

}  // namespace gyr::index
