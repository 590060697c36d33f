// Fault points: file access and bulk allocation pass here, so that tests can make the n-th one fail. Off unless built
// with GYR_FAULTS (dev, asan, tsan and fuzz presets); release builds compile them away.
#pragma once

#include <atomic>
#include <cstdint>

namespace gyr {

enum class FaultKind : int { kAlloc = 0, kIo = 1 };

#ifdef GYR_FAULTS
struct FaultState {
  std::atomic<int64_t> countdown[2] = {-1, -1};  // fails when it reaches 0; -1 = off
  std::atomic<int64_t> passed[2] = {0, 0};
  std::atomic<bool> persistent{false};  // keep failing afterwards
};
inline FaultState fault_state;

inline bool fault(FaultKind kind) {
  int k = int(kind);
  fault_state.passed[k].fetch_add(1, std::memory_order_relaxed);
  int64_t left = fault_state.countdown[k].load(std::memory_order_relaxed);
  if (left < 0) return false;
  if (left == 0) {
    if (!fault_state.persistent) fault_state.countdown[k] = -1;
    return true;
  }
  fault_state.countdown[k] = left - 1;
  return false;
}
#else
inline bool fault(FaultKind) { return false; }
#endif

}  // namespace gyr
