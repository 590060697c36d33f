#pragma once

#include <time.h>

#include <cstdint>

namespace gyr {

inline int64_t clock_ns(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
inline int64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }
inline int64_t realtime_us() { return clock_ns(CLOCK_REALTIME) / 1000; }

}  // namespace gyr
