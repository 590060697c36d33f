// gyr_task: cancel, deadline and progress of one long call.
#pragma once

#include <gyr/runtime.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/error.h"

struct gyr_task {
  uint32_t magic = kMagic;
  std::atomic<bool> cancelled{false};
  std::atomic<int64_t> deadline_ns{0};  // monotonic; 0 = none
  std::atomic<uint64_t> done{0}, total{0};
  std::atomic<double> loss{NAN};
  mutable std::mutex phase_mutex;
  std::string phase;
  static constexpr uint32_t kMagic = 0x6b736174;  // "task"
};

namespace gyr {

// Polled by long loops at least every few milliseconds of work. Null tasks always go on.
inline Status check(const gyr_task* task) {
  if (!task) return {};
  if (task->cancelled.load(std::memory_order_relaxed)) return fail(GYR_E_CANCELLED, "task", "cancelled by the host");
  int64_t deadline = task->deadline_ns.load(std::memory_order_relaxed);
  if (deadline && monotonic_ns() > deadline) return fail(GYR_E_DEADLINE, "task", "the task's deadline passed");
  return {};
}

inline void set_phase(gyr_task* task, std::string phase, uint64_t total) {
  if (!task) return;
  std::lock_guard lock(task->phase_mutex);
  task->phase = std::move(phase);
  task->done = 0;
  task->total = total;
}

inline void advance(gyr_task* task, uint64_t n) {
  if (task) task->done.fetch_add(n, std::memory_order_relaxed);
}

}  // namespace gyr
