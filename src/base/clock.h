#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace gyr {

inline int64_t clock_ns(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
inline int64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }

// The wall clock, which within a process never goes back: what has expired stays so when somebody sets the clock.
inline int64_t realtime_us() {
  static std::atomic<int64_t> latest{INT64_MIN};
  const int64_t now = clock_ns(CLOCK_REALTIME) / 1000;
  int64_t last = latest.load(std::memory_order_relaxed);
  while (last < now && !latest.compare_exchange_weak(last, now, std::memory_order_relaxed)) {
  }
  return last < now ? now : last;
}

}  // namespace gyr
