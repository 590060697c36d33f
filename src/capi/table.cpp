#include <gyr/table.h>

#include <string>
#include <vector>

#include "base/knobs.h"
#include "capi/consume.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"
#include "table/table.h"

using gyr::fail;
using gyr::Status;
using namespace gyr::capi;

namespace {

constexpr const char* kSection = "table";
constexpr uint64_t kExportRows = 8192;

Status read_keys(const gyr_keys* in, const char* name, gyr::Keys* out) {
  gyr_keys k;
  GYR_TRY(read_struct(in, name, "gyr_keys", &k));
  if (k.dtype != GYR_DTYPE_INT64 && k.dtype != GYR_DTYPE_STRING)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "%s.dtype is %d; expected GYR_DTYPE_INT64 or GYR_DTYPE_STRING", name,
                k.dtype);
  const bool ints = k.dtype == GYR_DTYPE_INT64;
  const std::string field = std::string(name) + (ints ? ".ints" : ".strings");  // short enough not to allocate
  GYR_TRY(ints ? require_array(k.ints, field.c_str(), k.count, sizeof *k.ints)
               : require_array(k.strings, field.c_str(), k.count, sizeof *k.strings));
  *out = {k.dtype, k.ints, k.strings, k.count};
  return {};
}

// Elements of an array lie struct_size apart, whichever version of the header the caller has.
Status read_columns(const gyr_table_column* in, uint64_t n, std::vector<gyr_table_column>* copies,
                    const gyr_table_column** out) {
  *out = in;
  if (n == 0) return {};
  GYR_TRY(require_array(in, "columns", n, sizeof *in));
  uint32_t size = in->struct_size;
  bool same = size == sizeof(gyr_table_column);
  for (uint64_t i = 0; same && i < n; i++) same = in[i].struct_size == size;
  if (same) return {};
  for (uint64_t i = 0; i < n; i++) {
    auto* from = reinterpret_cast<const gyr_table_column*>(reinterpret_cast<const char*>(in) + i * size);
    gyr_table_column column;
    GYR_TRY(read_struct(from, "columns", "gyr_table_column", &column));
    if (from->struct_size != size)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "columns[%llu].struct_size differs from the first one's",
                  (unsigned long long)i);
    copies->push_back(column);
  }
  *out = copies->data();
  return {};
}

Status write_stats(const gyr::Table::UpsertStats& s, gyr_upsert_stats* out) {
  if (!out) return {};
  gyr_upsert_stats filled{};
  filled.rows = s.rows;
  filled.applied = s.applied;
  filled.stale = s.stale;
  return write_struct(filled, "stats", "gyr_upsert_stats", out);
}

Status upsert_stream(gyr::Table* table, ArrowArrayStream* stream, gyr_task* task, gyr::Table::UpsertStats* stats) {
  gyr::set_phase(task, "upsert", 0);
  auto upsert = [&](const gyr::Batch& batch) -> Status {
    GYR_TRY(table->upsert(batch, stats));
    gyr::advance(task, uint64_t(batch.rows));
    return {};
  };
  return consume(stream, task, upsert, [] { return Status(); });
}

std::vector<gyr::Field> export_fields(const gyr::Table& table) {
  std::vector<gyr::Field> fields{table.key_field()};
  if (!table.event_time_name().empty()) fields.push_back({table.event_time_name(), GYR_DTYPE_TIMESTAMP, false});
  fields.insert(fields.end(), table.columns().begin(), table.columns().end());
  return fields;
}

}  // namespace

extern "C" {

GYR_API gyr_status gyr_table_create(gyr_runtime* runtime, const char* schema_json, gyr_table** out,
                                    gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(schema_json, "schema_json"));
    GYR_TRY(require(out, "out"));
    GYR_ASSIGN(auto table, gyr::Table::create(runtime->runtime, schema_json));
    *out = make_handle<gyr_table>(runtime->runtime, std::move(table));
    return {};
  });
}

GYR_API gyr_status gyr_table_upsert(gyr_table* table, ArrowArrayStream* stream, gyr_upsert_stats* stats, gyr_task* task,
                                    gyr_error* err) noexcept {
  gyr::Table::UpsertStats done;
  gyr_status code = guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require(stream, "stream"));
    GYR_TRY(write_stats(done, stats));  // refuses a bad struct_size before anything is in
    return upsert_stream(table->impl.get(), stream, task, &done);
  });
  if (code != GYR_E_INVALID_HANDLE && stats) guard(nullptr, "table", [&] { return write_stats(done, stats); });
  return code;
}

GYR_API gyr_status gyr_table_upsert_row(gyr_table* table, const gyr_keys* key, int64_t event_time_us,
                                        const char* const* columns, const gyr_value* values, uint64_t n,
                                        uint32_t* applied, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr::Keys keys;
    GYR_TRY(read_keys(key, "key", &keys));
    GYR_TRY(require_array(columns, "columns", n, sizeof *columns));
    GYR_TRY(require_array(values, "values", n, sizeof *values));
    gyr::Batch batch;
    GYR_TRY(gyr::row_batch(*table->impl, keys, event_time_us, columns, values, n, &batch));
    gyr::Table::UpsertStats stats;
    GYR_TRY(table->impl->upsert(batch, &stats));
    if (applied) *applied = uint32_t(stats.applied);
    return {};
  });
}

GYR_API gyr_status gyr_table_delete(gyr_table* table, const gyr_keys* keys, uint64_t* deleted,
                                    gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr::Keys k;
    GYR_TRY(read_keys(keys, "keys", &k));
    return table->impl->remove(k, deleted);
  });
}

GYR_API gyr_status gyr_table_get(const gyr_table* table, const gyr_keys* keys, int64_t now_us,
                                 const gyr_table_column* columns, uint64_t n, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr::Keys k;
    GYR_TRY(read_keys(keys, "keys", &k));
    std::vector<gyr_table_column> copies;
    const gyr_table_column* c;
    GYR_TRY(read_columns(columns, n, &copies, &c));
    return table->impl->read_into(k, now_us, c, n);
  });
}

GYR_API gyr_status gyr_table_get_info(const gyr_table* table, gyr_table_info* out, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr_table_info info{};
    info.columns = uint32_t(table->impl->columns().size());
    info.rows = table->impl->rows();
    info.bytes = table->impl->bytes();
    return write_struct(info, "out", "gyr_table_info", out);
  });
}

GYR_API gyr_status gyr_table_export(const gyr_table* table, ArrowArrayStream* out, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    GYR_TRY(require(out, "out"));
    auto next = [impl = table->impl, runtime = table->runtime, cursor = uint64_t(0)](gyr::Batch* batch,
                                                                                     bool* end) mutable -> Status {
      *end = cursor == UINT64_MAX;
      if (*end) return {};
      GYR_TRY(impl->scan(&cursor, gyr::knobs::capacity(kExportRows), batch));
      *end = batch->rows == 0 && cursor == UINT64_MAX;
      return {};
    };
    return gyr::export_stream(export_fields(*table->impl), std::move(next), out);
  });
}

GYR_API gyr_status gyr_table_save(const gyr_table* table, const char* path, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    GYR_TRY(require(path, "path"));
    gyr::ContainerWriter file;
    GYR_TRY(table->impl->save(&file, kSection));
    return file.save(path);
  });
}

GYR_API gyr_status gyr_table_open(gyr_runtime* runtime, const char* path, gyr_table** out, gyr_error* err) noexcept {
  return guard(err, "table",
               [&] { return open_handle<gyr::Table>(runtime, path, gyr::Container::Access::kRead, kSection, out); });
}

GYR_API void gyr_table_destroy(gyr_table* table) noexcept { destroy(table); }

}  // extern "C"
