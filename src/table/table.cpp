#include <span>

#include "base/clock.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

int64_t read_time(int64_t now_us) { return now_us == 0 ? realtime_us() : now_us; }

// GYR_VALUE_* of the row itself. Before its event time a row is not there yet.
uint8_t state_of(const uint8_t* row, int64_t now_us, int64_t ttl_us) {
  if (!row) return GYR_VALUE_MISSING;
  if (now_us == INT64_MAX) return GYR_VALUE_PRESENT;
  int64_t t = RowFormat::event_time(row), expires;
  if (t > now_us) return GYR_VALUE_MISSING;
  if (ttl_us && !__builtin_add_overflow(t, ttl_us, &expires) && expires < now_us) return GYR_VALUE_EXPIRED;
  return GYR_VALUE_PRESENT;
}

}  // namespace

Result<std::shared_ptr<Table>> Table::create(std::shared_ptr<Runtime> runtime, std::string_view schema_json) {
  GYR_ASSIGN(TableSchema schema, TableSchema::parse(schema_json));
  return std::shared_ptr<Table>(std::make_shared<TableImpl>(std::move(runtime), std::move(schema)));
}

TableImpl::TableImpl(std::shared_ptr<Runtime> runtime, TableSchema schema, KeyedRows::Hash hash)
    : runtime_(std::move(runtime)),
      schema_(std::move(schema)),
      format_(schema_.columns),
      store_(runtime_->memory(),
             {.keys = schema_.key.dtype == GYR_DTYPE_STRING ? KeyedRows::KeyKind::kBytes : KeyedRows::KeyKind::kInt,
              .prefetch_bytes = std::min(format_.fixed_size, 256u),
              .hash = hash}) {}

TableImpl::~TableImpl() {
  for (auto& l : leases_) delete l.load(std::memory_order_acquire);
}

TableImpl::Lease::Lease(const TableImpl& table) : table_(table) {
  for (auto& l : std::span(table.leases_).first(knobs::capacity(kLeases)))
    if (l.load(std::memory_order_relaxed) && (scratch_ = l.exchange(nullptr, std::memory_order_acquire))) return;
  scratch_ = new Scratch;
}

TableImpl::Lease::~Lease() {
  for (auto& l : std::span(table_.leases_).first(knobs::capacity(kLeases))) {
    Scratch* none = nullptr;
    if (l.compare_exchange_strong(none, scratch_, std::memory_order_release, std::memory_order_relaxed)) return;
  }
  delete scratch_;
}

Status TableImpl::check_keys(const Keys& keys) const {
  if (keys.dtype != schema_.key.dtype)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "keys are %s; the key \"%.100s\" is %s", dtype_name(keys.dtype),
                schema_.key.name.c_str(), dtype_name(schema_.key.dtype));
  bool strings = keys.dtype == GYR_DTYPE_STRING;
  if (keys.count && !(strings ? (const void*)keys.strings : keys.ints))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "keys.%s is NULL for %llu keys", strings ? "strings" : "ints",
                (unsigned long long)keys.count);
  for (uint64_t i = 0; strings && i < keys.count; i++)
    if (keys.strings[i].len > kMaxKeyBytes || (keys.strings[i].len && !keys.strings[i].data))
      return fail(GYR_E_INVALID_ARGUMENT, "table", "key %llu is NULL or longer than %llu bytes", (unsigned long long)i,
                  (unsigned long long)kMaxKeyBytes);
  return {};
}

// The caller holds a guard.
void TableImpl::locate(const Keys& keys, int64_t now_us, Scratch* scratch) const {
  scratch->rows.resize(keys.count);
  scratch->state.resize(keys.count);
  auto note = [&](size_t first, size_t n, const uint8_t* const* rows) {
    for (size_t i = 0; i < n; i++) {
      uint8_t state = state_of(rows[i], now_us, schema_.ttl_us);
      scratch->state[first + i] = state;
      scratch->rows[first + i] = state == GYR_VALUE_PRESENT ? rows[i] : nullptr;
    }
  };
  if (keys.dtype == GYR_DTYPE_STRING)
    store_.find(keys.strings, keys.count, note);
  else
    store_.find(keys.ints, keys.count, note);
}

Status TableImpl::remove(const Keys& keys, uint64_t* removed) {
  GYR_TRY(check_keys(keys));
  uint64_t n = 0;
  for (uint64_t i = 0; i < keys.count; i++)
    n += store_.erase(keys.dtype == GYR_DTYPE_STRING ? store_.key(keys.strings[i]) : store_.key(&keys.ints[i]));
  if (removed) *removed = n;
  return {};
}

Status TableImpl::get(const Keys& keys, int64_t now_us, const std::vector<int>& columns, Batch* out,
                      std::vector<uint8_t>* out_status) const {
  GYR_TRY(check_keys(keys));
  for (int c : columns)
    if (c < 0 || size_t(c) >= schema_.columns.size())
      return fail(GYR_E_NOT_FOUND, "table", "column %d of %zu does not exist", c, schema_.columns.size());
  Lease scratch(*this);
  auto guard = store_.read();
  locate(keys, read_time(now_us), &*scratch);
  out->rows = int64_t(keys.count);
  out->names.resize(columns.size());
  out->columns.resize(columns.size());
  out_status->resize(columns.size() * keys.count);
  uint8_t* status = out_status->data();
  for (size_t c = 0; c < columns.size(); c++, status += keys.count) {
    size_t at = size_t(columns[c]);
    const Field& field = schema_.columns[at];
    out->names[c] = field.name;
    out->columns[c].reset(field.dtype, field.is_list);
    format_.read(scratch->rows.data(), keys.count, at, &out->columns[c]);
    for (uint64_t i = 0; i < keys.count; i++) {
      const uint8_t* row = scratch->rows[i];
      status[i] = row && RowFormat::is_null(row, at) ? uint8_t(GYR_VALUE_NULL) : scratch->state[i];
    }
  }
  return {};
}

Status TableImpl::scan(uint64_t* cursor, uint64_t batch_rows, Batch* out) const {
  Lease scratch(*this);
  auto guard = store_.read();
  store_.scan(cursor, batch_rows, &scratch->stored);
  auto& rows = scratch->rows;
  rows.clear();
  for (auto& s : scratch->stored) rows.push_back(s.payload);
  bool timed = !schema_.event_time.empty();
  out->rows = int64_t(rows.size());
  out->names.resize(schema_.columns.size() + 1 + timed);
  out->columns.resize(out->names.size());
  out->names[0] = schema_.key.name;
  Column& key = out->columns[0];
  key.reset(schema_.key.dtype, false);
  for (auto& s : scratch->stored) {
    if (schema_.key.dtype == GYR_DTYPE_STRING)
      key.push_string(s.key_text());
    else
      key.push_int(s.key_int());
  }
  if (timed) {
    out->names[1] = schema_.event_time;
    out->columns[1].reset(GYR_DTYPE_TIMESTAMP, false);
    for (const uint8_t* row : rows) out->columns[1].push_int(RowFormat::event_time(row));
  }
  for (size_t c = 0; c < schema_.columns.size(); c++) {
    const Field& field = schema_.columns[c];
    out->names[c + 1 + timed] = field.name;
    Column& column = out->columns[c + 1 + timed];
    column.reset(field.dtype, field.is_list);
    format_.read(rows.data(), rows.size(), c, &column);
  }
  return {};
}

}  // namespace gyr
