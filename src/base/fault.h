// Fault point of bulk allocation: tests make the n-th one fail. Off unless built with GYR_FAULTS (dev, asan, tsan and
// fuzz presets); release builds compile it away. File access has its own, io/file_watch.h.
#pragma once

#include <atomic>
#include <cstdint>

namespace gyr {

#ifdef GYR_FAULTS
struct AllocFaults {
  std::atomic<int64_t> countdown{-1};   // fails when it reaches 0; -1 = off
  std::atomic<bool> persistent{false};  // keep failing afterwards
};
inline AllocFaults alloc_faults;

inline bool alloc_fault() {
  int64_t left = alloc_faults.countdown.load(std::memory_order_relaxed);
  if (left < 0) return false;
  if (left > 0) {
    alloc_faults.countdown = left - 1;
    return false;
  }
  if (!alloc_faults.persistent) alloc_faults.countdown = -1;
  return true;
}
#else
inline bool alloc_fault() { return false; }
#endif

}  // namespace gyr
