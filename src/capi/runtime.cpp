#include <gyr/runtime.h>

#include "capi/guard.h"
#include "capi/handles.h"
#include "device/device.h"

using gyr::fail;
using gyr::Status;
using namespace gyr::capi;

namespace {

// The hook structs that options point to, copied at the size this library knows.
struct Hooks {
  gyr_allocator allocator;
  gyr_logger logger;
  gyr_executor executor;
};

Status read_options(const gyr_runtime_options* in, gyr_runtime_options* out, Hooks* hooks) {
  *out = {};
  out->struct_size = sizeof *out;
  if (!in) return {};
  GYR_TRY(read_struct(in, "options", "gyr_runtime_options", out));
  if (out->allocator) {
    GYR_TRY(read_struct(out->allocator, "options.allocator", "gyr_allocator", &hooks->allocator));
    out->allocator = &hooks->allocator;
  }
  if (out->logger) {
    GYR_TRY(read_struct(out->logger, "options.logger", "gyr_logger", &hooks->logger));
    out->logger = &hooks->logger;
  }
  if (out->executor) {
    GYR_TRY(read_struct(out->executor, "options.executor", "gyr_executor", &hooks->executor));
    out->executor = &hooks->executor;
  }
  return {};
}

bool alive(const gyr_task* task) { return task && task->magic == gyr_task::kMagic; }

}  // namespace

extern "C" {

GYR_API gyr_status gyr_runtime_create(const gyr_runtime_options* options, gyr_runtime** out, gyr_error* err) noexcept {
  return guard(err, "runtime", [&]() -> Status {
    GYR_TRY(require(out, "out"));
    gyr_runtime_options o;
    Hooks hooks;
    GYR_TRY(read_options(options, &o, &hooks));
    auto handle = std::make_unique<gyr_runtime>();
    GYR_ASSIGN(handle->runtime,
               gyr::Runtime::create(o, [&](gyr::Runtime& runtime) { return gyr::select_device(runtime, o.device); }));
    *out = handle.release();
    return {};
  });
}

GYR_API void gyr_runtime_destroy(gyr_runtime* runtime) noexcept { destroy(runtime); }

GYR_API gyr_status gyr_runtime_get_info(const gyr_runtime* runtime, gyr_runtime_info* info, gyr_error* err) noexcept {
  return guard(err, "runtime", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    gyr_runtime_info filled;
    runtime->runtime->fill_info(&filled);
    return write_struct(filled, "info", "gyr_runtime_info", info);
  });
}

GYR_API gyr_status gyr_task_create(gyr_task** out, gyr_error* err) noexcept {
  return guard(err, "task", [&]() -> Status {
    GYR_TRY(require(out, "out"));
    *out = new gyr_task;
    return {};
  });
}

GYR_API void gyr_task_cancel(gyr_task* task) noexcept {
  if (alive(task)) task->cancelled.store(true, std::memory_order_relaxed);
}

GYR_API void gyr_task_set_timeout(gyr_task* task, int64_t timeout_ns) noexcept {
  if (!alive(task)) return;
  int64_t deadline = 0;
  if (timeout_ns > 0 && __builtin_add_overflow(gyr::monotonic_ns(), timeout_ns, &deadline)) deadline = 0;
  task->deadline_ns.store(deadline, std::memory_order_relaxed);
}

GYR_API void gyr_task_get_progress(const gyr_task* task, gyr_task_progress* out) noexcept {
  if (!alive(task) || !out) return;
  gyr_task_progress filled{};
  filled.done = task->done.load(std::memory_order_relaxed);
  filled.total = task->total.load(std::memory_order_relaxed);
  filled.loss = task->loss.load(std::memory_order_relaxed);
  {
    std::lock_guard lock(task->phase_mutex);
    std::snprintf(filled.phase, sizeof filled.phase, "%s", task->phase.c_str());
  }
  (void)write_struct(filled, "out", "gyr_task_progress", out);
}

GYR_API void gyr_task_destroy(gyr_task* task) noexcept {
  if (!alive(task)) return;
  task->magic = 0;
  delete task;
}

}  // extern "C"
