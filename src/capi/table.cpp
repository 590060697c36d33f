#include <gyr/table.h>

#include <optional>
#include <string>
#include <vector>

#include "base/knobs.h"
#include "capi/consume.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"
#include "table/get_plan.h"

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

// Elements of an array lie struct_size apart, whichever version of the header the caller has. *out: the array itself
// when it is of our version, else `copies`.
template <class T>
Status read_structs(const T* in, const char* name, const char* type, uint64_t n, std::vector<T>* copies,
                    const T** out) {
  *out = in;
  if (n == 0) return {};
  GYR_TRY(require_array(in, name, n, sizeof *in));
  uint32_t size = in->struct_size;
  bool same = size == sizeof(T);
  for (uint64_t i = 0; same && i < n; i++) {
    same = in[i].struct_size == size;
    if constexpr (requires { in->reserved; }) same = same && in[i].reserved == 0;
  }
  if (same) return {};
  for (uint64_t i = 0; i < n; i++) {
    auto* from = reinterpret_cast<const T*>(reinterpret_cast<const char*>(in) + i * size);
    T element;
    GYR_TRY(read_struct(from, name, type, &element));
    uint32_t its;
    std::memcpy(&its, static_cast<const void*>(from), sizeof its);
    if (its != size)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "%s[%llu].struct_size differs from the first one's", name,
                  (unsigned long long)i);
    copies->push_back(element);
  }
  *out = copies->data();
  return {};
}

Status read_columns(const gyr_table_column* in, uint64_t n, std::vector<gyr_table_column>* copies,
                    const gyr_table_column** out) {
  return read_structs(in, "columns", "gyr_table_column", n, copies, out);
}

Status write_stats(const gyr::Table::UpsertStats& s, gyr_upsert_stats* out) {
  if (!out) return {};
  gyr_upsert_stats filled{};
  filled.rows = s.rows;
  filled.applied = s.applied;
  filled.stale = s.stale;
  filled.late = s.late;
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

Status read_flags(uint32_t flags, bool* known) {
  *known = !(flags & GYR_AS_OF_UNKNOWN_TOO);
  if (flags & ~uint32_t(GYR_AS_OF_UNKNOWN_TOO))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "flags is 0x%x; expected GYR_AS_OF_*", flags);
  return {};
}

// Nullable; copies the names.
Status read_as_of_options(const gyr_as_of_options* in, const gyr::Table& table, gyr::AsOfJoin::Options* out) {
  gyr_as_of_options o{};
  if (in) GYR_TRY(read_struct(in, "options", "gyr_as_of_options", &o));
  GYR_TRY(read_flags(o.flags, &out->known));
  if (o.key) out->key = o.key;
  if (o.time) out->time = o.time;
  if (o.prefix) out->prefix = o.prefix;
  if (!o.columns && o.n_columns == 0) {
    for (auto& f : table.columns()) out->columns.push_back(f.name);
    return {};
  }
  GYR_TRY(require_array(o.columns, "options.columns", o.n_columns, sizeof *o.columns));
  for (uint64_t i = 0; i < o.n_columns; i++) {
    if (!o.columns[i])
      return fail(GYR_E_INVALID_ARGUMENT, "table", "options.columns[%llu] is NULL", (unsigned long long)i);
    out->columns.emplace_back(o.columns[i]);
  }
  return {};
}

// What the stream of a join owns: the labels' stream, once that was taken over.
struct JoinStream {
  std::unique_ptr<ArrowArrayStream> labels;
  std::unique_ptr<gyr::ArrowReader> reader;
  std::optional<gyr::AsOfJoin> join;
  gyr::Batch batch;
  bool owns = false;
  ~JoinStream() {
    if (owns) reader->accept();
  }
};

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

GYR_API gyr_status gyr_table_get_as_of(const gyr_table* table, const gyr_keys* keys, const int64_t* times_us,
                                       uint32_t flags, const gyr_table_column* columns, uint64_t n,
                                       gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr::Keys k;
    GYR_TRY(read_keys(keys, "keys", &k));
    GYR_TRY(require_array(times_us, "times_us", k.count, sizeof *times_us));
    bool known = true;
    GYR_TRY(read_flags(flags, &known));
    std::vector<gyr_table_column> copies;
    const gyr_table_column* c;
    GYR_TRY(read_columns(columns, n, &copies, &c));
    return table->impl->read_as_of(k, times_us, known, c, n);
  });
}

GYR_API gyr_status gyr_table_export_as_of(const gyr_table* table, ArrowArrayStream* labels,
                                          const gyr_as_of_options* options, ArrowArrayStream* out,
                                          gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    GYR_TRY(require(labels, "labels"));
    GYR_TRY(require(out, "out"));
    gyr::AsOfJoin::Options asked;
    GYR_TRY(read_as_of_options(options, *table->impl, &asked));
    auto state = std::make_shared<JoinStream>();
    state->labels = std::make_unique<ArrowArrayStream>(*labels);
    GYR_ASSIGN(state->reader, gyr::ArrowReader::open(state->labels.get()));
    GYR_ASSIGN(state->join, gyr::AsOfJoin::make(table->impl, state->reader->fields(), asked));
    auto next = [state, runtime = table->runtime](gyr::Batch* batch, bool* end) -> Status {
      GYR_TRY(state->reader->next(&state->batch, end));
      return *end ? Status() : state->join->run(&state->batch, batch);
    };
    ArrowArrayStream made;
    GYR_TRY(gyr::export_stream(state->join->fields(), std::move(next), &made));
    labels->release = nullptr;  // moved
    state->owns = true;
    *out = made;
    return {};
  });
}

GYR_API gyr_status gyr_table_get_info(const gyr_table* table, gyr_table_info* out, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    gyr_table_info info{};
    info.columns = uint32_t(table->impl->columns().size());
    info.rows = table->impl->rows();
    info.bytes = table->impl->bytes();
    info.versions = table->impl->versions();
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
    return gyr::export_stream(table->impl->scan_fields(), std::move(next), out);
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

GYR_API gyr_status gyr_get_plan_create(const gyr_table* const* tables, uint64_t n_tables, const gyr_get_column* columns,
                                       uint64_t n, gyr_get_plan** out, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(require_array(tables, "tables", n_tables, sizeof *tables));
    if (n_tables == 0) return fail(GYR_E_INVALID_ARGUMENT, "table", "n_tables is 0; a plan reads one table at least");
    std::vector<std::shared_ptr<gyr::Table>> all;
    for (uint64_t t = 0; t < n_tables; t++) {
      GYR_TRY(enter(tables[t], "tables"));
      all.push_back(tables[t]->impl);
    }
    std::vector<gyr_get_column> copies;
    const gyr_get_column* c;
    GYR_TRY(read_structs(columns, "columns", "gyr_get_column", n, &copies, &c));
    GYR_TRY(require(out, "out"));
    std::vector<gyr::GetPlan::Wanted> wanted;
    for (uint64_t i = 0; i < n; i++) {
      GYR_TRY(require(c[i].name, "columns.name"));
      wanted.push_back({c[i].table, c[i].name, c[i].dtype, c[i].default_value});
    }
    GYR_ASSIGN(auto plan, gyr::GetPlan::make(std::move(all), wanted.data(), n));
    *out = make_handle<gyr_get_plan>(tables[0]->runtime, std::move(plan));
    return {};
  });
}

GYR_API gyr_status gyr_get_plan_run(const gyr_get_plan* plan, const gyr_keys* keys, uint64_t n_keys, int64_t now_us,
                                    const gyr_get_destination* destinations, uint64_t n, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(plan, "plan"));
    const gyr::GetPlan& p = *plan->impl;
    std::vector<gyr_keys> key_copies;
    std::vector<gyr_get_destination> copies;
    const gyr_keys* k;
    const gyr_get_destination* d;
    GYR_TRY(read_structs(keys, "keys", "gyr_keys", n_keys, &key_copies, &k));
    GYR_TRY(read_structs(destinations, "destinations", "gyr_get_destination", n, &copies, &d));
    if (n_keys != p.tables() || n != p.columns())
      return fail(GYR_E_INVALID_ARGUMENT, "table",
                  "%llu keys and %llu destinations for a plan of %zu tables and %zu columns",
                  (unsigned long long)n_keys, (unsigned long long)n, p.tables(), p.columns());
    auto scratch = p.lend();
    for (uint64_t t = 0; t < n_keys; t++) GYR_TRY(read_keys(&k[t], "keys", &scratch->keys[t]));
    for (uint64_t c = 0; c < n; c++) {
      gyr_table_column& to = scratch->to[c];
      to.values = d[c].values;
      to.values_capacity = d[c].values_capacity;
      to.offsets = d[c].offsets;
      to.status = d[c].status;
      to.heap = d[c].heap;
      to.heap_capacity = d[c].heap_capacity;
      to.element_valid = d[c].element_valid;
    }
    return p.run(now_us, &*scratch);
  });
}

GYR_API void gyr_get_plan_destroy(gyr_get_plan* plan) noexcept { destroy(plan); }

GYR_API gyr_status gyr_table_sweep(gyr_table* table, int64_t now_us, uint64_t max_rows, uint64_t* cursor,
                                   uint64_t* removed, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(enter(table, "table"));
    GYR_TRY(require(cursor, "cursor"));
    uint64_t at = *cursor;
    GYR_TRY(table->impl->sweep(now_us, max_rows, &at, removed));
    *cursor = at;
    return {};
  });
}

GYR_API gyr_status gyr_table_estimate(const char* schema_json, uint64_t rows, uint64_t variable_bytes,
                                      uint64_t versions, uint64_t* bytes, gyr_error* err) noexcept {
  return guard(err, "table", [&]() -> Status {
    GYR_TRY(require(schema_json, "schema_json"));
    GYR_TRY(require(bytes, "bytes"));
    GYR_ASSIGN(*bytes, gyr::Table::estimate(schema_json, rows, variable_bytes, versions));
    return {};
  });
}

GYR_API void gyr_table_destroy(gyr_table* table) noexcept { destroy(table); }

}  // extern "C"
