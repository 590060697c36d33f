#include "monitor/monitor.h"

#include "capi/consume.h"
#include "capi/guard.h"
#include "capi/handles.h"

using namespace gyr;        // NOLINT(google-build-using-namespace)
using namespace gyr::capi;  // NOLINT(google-build-using-namespace)

extern "C" {

GYR_API gyr_status gyr_monitor_create(gyr_runtime* runtime, const char* json, gyr_monitor** out,
                                      gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(json, "json"));
    GYR_TRY(require(out, "out"));
    GYR_ASSIGN(std::shared_ptr<Monitor> monitor, Monitor::create(runtime->runtime, json));
    *out = make_handle<gyr_monitor>(runtime->runtime, std::move(monitor));
    return {};
  });
}

GYR_API gyr_status gyr_monitor_set_baseline(gyr_monitor* monitor, ArrowArrayStream* stream, gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(monitor, "monitor"));
    return read_stream(stream, [&](ArrowReader* reader) { return monitor->impl->set_baseline(reader); });
  });
}

GYR_API gyr_status gyr_monitor_observe(gyr_monitor* monitor, ArrowArrayStream* stream, gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(monitor, "monitor"));
    GYR_TRY(require(stream, "stream"));
    GYR_TRY(monitor->impl->require_baseline());
    return read_stream(stream, [&](ArrowReader* reader) { return monitor->impl->observe(reader); });
  });
}

GYR_API gyr_status gyr_monitor_served(gyr_monitor* monitor, uint64_t request_id, const int64_t* items,
                                      const float* scores, uint64_t n, int64_t time_us, gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(monitor, "monitor"));
    GYR_TRY(require_array(items, "items", n, sizeof *items));
    GYR_TRY(require_array(scores, "scores", n, sizeof *scores));
    return monitor->impl->served(request_id, items, scores, n, time_us);
  });
}

GYR_API gyr_status gyr_monitor_label(gyr_monitor* monitor, uint64_t request_id, int64_t item, uint32_t label,
                                     int64_t time_us, gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(monitor, "monitor"));
    return monitor->impl->label(request_id, item, label, time_us);
  });
}

GYR_API gyr_status gyr_monitor_count(gyr_monitor* monitor, const char* name, uint64_t delta, gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(monitor, "monitor"));
    GYR_TRY(require(name, "name"));
    return monitor->impl->count(name, delta);
  });
}

GYR_API gyr_status gyr_monitor_report(gyr_monitor* monitor, int64_t now_us, char* buffer, uint64_t capacity,
                                      uint64_t* size, gyr_error* err) noexcept {
  return guard(err, "monitor", [&]() -> Status {
    GYR_TRY(enter(monitor, "monitor"));
    return monitor->impl->report(now_us, [&](std::string_view text, bool* delivered) -> Status {
      GYR_TRY(write_text(text, buffer, capacity, size));
      *delivered = buffer != nullptr;
      return {};
    });
  });
}

GYR_API void gyr_monitor_destroy(gyr_monitor* monitor) noexcept { destroy(monitor); }

}  // extern "C"
