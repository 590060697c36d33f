// gyr/table.h: tables that live in a folder.
#include <gyr/table.h>

#include "capi/guard.h"
#include "capi/handles.h"
#include "table/table.h"

using gyr::fail;
using gyr::Status;
using namespace gyr::capi;

namespace {

constexpr uint64_t kFlushUs = 10'000, kLongestFlushUs = 60'000'000;
constexpr uint64_t kSegment = uint64_t(64) << 20, kQueue = uint64_t(16) << 20;
constexpr uint64_t kSmallest = 4096, kLargest = uint64_t(1) << 40;

Status in_range(const char* name, uint64_t value, uint64_t least, uint64_t most, uint64_t otherwise, uint64_t* out) {
  *out = value ? value : otherwise;
  if (*out >= least && *out <= most) return {};
  return fail(GYR_E_OUT_OF_RANGE, "table", "options.%s is %llu; expected 0 or %llu to %llu", name,
              (unsigned long long)value, (unsigned long long)least, (unsigned long long)most);
}

Status read_options(const gyr_table_log_options* in, gyr::LiveOptions* out) {
  gyr_table_log_options o{};
  if (in) GYR_TRY(read_struct(in, "options", "gyr_table_log_options", &o));
  if (o.durability < GYR_DURABILITY_ASYNC || o.durability > GYR_DURABILITY_NONE)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "options.durability is %d; expected a GYR_DURABILITY_*", o.durability);
  out->durability = o.durability;
  uint64_t flush_us = 0;
  GYR_TRY(in_range("flush_interval_us", o.flush_interval_us, 1, kLongestFlushUs, kFlushUs, &flush_us));
  out->flush_ns = int64_t(flush_us) * 1000;
  GYR_TRY(in_range("segment_bytes", o.segment_bytes, kSmallest, kLargest, kSegment, &out->segment_bytes));
  return in_range("queue_bytes", o.queue_bytes, kSmallest, kLargest, kQueue, &out->queue_bytes);
}

}  // namespace

extern "C" {

GYR_API gyr_status gyr_table_open_live(gyr_runtime* runtime, const char* folder, const char* schema_json,
                                       const gyr_table_log_options* options, gyr_task* task, gyr_table** out,
                                       gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require(folder, "folder"));
    GYR_TRY(require(out, "out"));
    gyr::LiveOptions live;
    GYR_TRY(read_options(options, &live));
    GYR_ASSIGN(auto table, gyr::Table::open_live(runtime->runtime, folder, schema_json, live, task));
    *out = make_handle<gyr_table>(runtime->runtime, std::move(table));
    return {};
  });
}

GYR_API gyr_status gyr_table_checkpoint(gyr_table* table, gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    GYR_TRY(enter_task(task));
    return table->impl->checkpoint(task);
  });
}

GYR_API gyr_status gyr_table_flush(gyr_table* table, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    return table->impl->flush();
  });
}

GYR_API gyr_status gyr_table_get_log_info(const gyr_table* table, gyr_table_log_info* out, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr::LiveInfo live;
    GYR_TRY(table->impl->live_info(&live));
    gyr_table_log_info info{};
    info.durability = live.durability;
    info.last_lsn = live.last_lsn;
    info.durable_lsn = live.durable_lsn;
    info.snapshot_lsn = live.snapshot_lsn;
    info.bytes = live.bytes;
    info.files = uint32_t(live.segments);
    info.failed = live.poisoned;
    return write_struct(info, "out", "gyr_table_log_info", out);
  });
}

}  // extern "C"
