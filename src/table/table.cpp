#include "base/clock.h"
#include "table/live_table.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

int64_t read_time(int64_t now_us) { return now_us == 0 ? realtime_us() : now_us; }

}  // namespace

Result<std::shared_ptr<Table>> Table::create(std::shared_ptr<Runtime> runtime, std::string_view schema_json) {
  GYR_ASSIGN(TableSchema schema, TableSchema::parse(schema_json));
  GYR_ASSIGN(std::shared_ptr<Table> table, TableImpl::make(std::move(runtime), std::move(schema)));
  return table;
}

Result<std::shared_ptr<TableImpl>> TableImpl::make(std::shared_ptr<Runtime> runtime, TableSchema schema) {
  const uint64_t budget = schema.memory_budget;
  try {
    return std::make_shared<TableImpl>(std::move(runtime), std::move(schema));
  } catch (const Allowance::Exceeded&) {
    return fail(GYR_E_INVALID_ARGUMENT, "table", "memory_budget: %llu bytes do not hold an empty table",
                (unsigned long long)budget);
  }
}

TableImpl::TableImpl(std::shared_ptr<Runtime> runtime, TableSchema schema, KeyedRows::Hash hash)
    : runtime_(std::move(runtime)),
      schema_(std::move(schema)),
      format_(schema_.columns, schema_.group_of),
      memory_(runtime_->memory(), schema_.memory_budget),
      store_(&memory_,
             {.keys = schema_.key.dtype == GYR_DTYPE_STRING ? KeyedRows::KeyKind::kBytes : KeyedRows::KeyKind::kInt,
              .prefetch_bytes = std::min(format_.fixed_size, 256u),
              .hash = hash}),
      history_(schema_.versions ? std::make_unique<History>(&memory_, schema_, hash) : nullptr) {}

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

uint32_t TableImpl::groups_of(const std::vector<int>& columns) const {
  uint32_t groups = 0;
  for (int c : columns) groups |= 1u << schema_.group_of[size_t(c)];
  return groups;
}

// The caller holds a guard.
void TableImpl::locate(const Keys& keys, int64_t now_us, uint32_t groups, Scratch* scratch) const {
  scratch->rows.resize(keys.count * schema_.groups.size());
  scratch->state.resize(keys.count * schema_.groups.size());
  const bool views = schema_.has_views();
  find(store_, keys, [&](size_t first, size_t n, const uint8_t* const* found) {
    for (uint32_t g = 0; g < schema_.groups.size(); g++) {
      if (!(groups >> g & 1)) continue;
      const uint8_t** rows = &scratch->rows[g * keys.count + first];
      uint8_t* states = &scratch->state[g * keys.count + first];
      const int64_t ttl_us = schema_.groups[g].ttl_us;
      for (size_t i = 0; i < n; i++) {
        const int64_t event = found[i] ? format_.event_time(found[i], g) : 0;
        const bool missing = !found[i] || (views && event == RowFormat::kNever);
        uint8_t state = missing ? uint8_t(GYR_VALUE_MISSING) : state_of(event, now_us, ttl_us);
        states[i] = state;
        rows[i] = state == GYR_VALUE_PRESENT ? found[i] : nullptr;
      }
    }
  });
}

Source TableImpl::source(const Scratch& scratch, int column, uint64_t keys, bool past) const {
  auto c = size_t(column);
  const uint32_t g = schema_.group_of[c];
  const uint8_t* const* rows = scratch.rows.data() + g * keys;
  const uint8_t* state = scratch.state.data() + g * keys;
  if (past) return {&history_->format(g), history_->place(c), rows, state, keys};
  return {&format_, c, rows, state, keys};
}

Status TableImpl::apply_remove(const Keys& keys, uint64_t* removed, uint64_t* tried) {
  for (uint64_t i = 0; i < keys.count; i++, ++*tried) {
    KeyRef key = key_of(keys, i);
    *removed += store_.erase_if(key, [&](const uint8_t*) {
      if (history_) history_->erase(key);
      return true;
    });
  }
  return {};
}

Status TableImpl::get(const Keys& keys, int64_t now_us, const std::vector<int>& columns, Batch* out,
                      std::vector<uint8_t>* out_status) const {
  GYR_TRY(check_keys(keys));
  for (int c : columns)
    if (c < 0 || size_t(c) >= schema_.columns.size())
      return fail(GYR_E_NOT_FOUND, "table", "column %d of %zu does not exist", c, schema_.columns.size());
  auto scratch = scratch_.lend();
  auto guard = store_.read();
  locate(keys, read_time(now_us), groups_of(columns), &*scratch);
  out->rows = int64_t(keys.count);
  out->names.resize(columns.size());
  out->columns.resize(columns.size());
  out_status->resize(columns.size() * keys.count);
  uint8_t* status = out_status->data();
  for (size_t c = 0; c < columns.size(); c++, status += keys.count) {
    const Field& field = schema_.columns[size_t(columns[c])];
    Source from = source(*scratch, columns[c], keys.count, false);
    out->names[c] = field.name;
    out->columns[c].reset(field.dtype, field.is_list);
    format_.read(from.rows, keys.count, from.column, &out->columns[c]);
    copy_statuses(from, status);
  }
  return {};
}

Status TableImpl::resolve(const gyr_table_column* columns, uint64_t n, uint64_t count, Scratch* scratch) const {
  scratch->columns.resize(n);
  size_t guess = 0;  // callers name columns in the schema's order more often than not
  for (uint64_t c = 0; c < n; c++, guess++) {
    const char* name = columns[c].name;
    if (!name) return fail(GYR_E_INVALID_ARGUMENT, "table", "columns[%llu].name is NULL", (unsigned long long)c);
    bool guessed = guess < schema_.columns.size() && schema_.columns[guess].name == name;
    int at = guessed ? int(guess) : find_column(name);
    scratch->columns[c] = at;
    guess = at < 0 ? guess : size_t(at);
    if (at < 0)
      return fail(GYR_E_NOT_FOUND, "table", "the table \"%.100s\" has no column \"%.100s\"", schema_.name.c_str(),
                  columns[c].name);
    GYR_TRY(check_destination(schema_.columns[size_t(at)], columns[c], count));
  }
  return {};
}

Status TableImpl::copy(const Scratch& scratch, const gyr_table_column* columns, uint64_t n, uint64_t keys,
                       bool past) const {
  for (uint64_t c = 0; c < n; c++) GYR_TRY(check_capacity(source(scratch, scratch.columns[c], keys, past), columns[c]));
  for (uint64_t c = 0; c < n; c++) {
    int at = scratch.columns[c];
    copy_of(schema_.columns[size_t(at)], columns[c].dtype)(source(scratch, at, keys, past), columns[c]);
  }
  return {};
}

Status TableImpl::read_into(const Keys& keys, int64_t now_us, const gyr_table_column* columns, uint64_t n) const {
  GYR_TRY(check_keys(keys));
  auto scratch = scratch_.lend();
  GYR_TRY(resolve(columns, n, keys.count, &*scratch));
  auto guard = store_.read();
  locate(keys, read_time(now_us), groups_of(scratch->columns), &*scratch);
  return copy(*scratch, columns, n, keys.count, false);
}

Status TableImpl::scan(uint64_t* cursor, uint64_t batch_rows, Batch* out) const {
  auto scratch = scratch_.lend();
  auto guard = store_.read();
  store_.scan(cursor, batch_rows, &scratch->stored);
  auto& rows = scratch->rows;
  rows.clear();
  for (auto& s : scratch->stored) rows.push_back(s.payload);
  out->rows = int64_t(rows.size());
  size_t n = 0;
  auto next = [&](const Field& field) -> Column& {
    if (out->columns.size() <= n) out->columns.emplace_back(), out->names.emplace_back();
    out->names[n] = field.name;
    out->columns[n].reset(field.dtype, field.is_list);
    return out->columns[n++];
  };
  Column& key = next(schema_.key);
  for (auto& s : scratch->stored) {
    if (schema_.key.dtype == GYR_DTYPE_STRING)
      key.push_string(s.key_text());
    else
      key.push_int(s.key_int());
  }
  for (uint32_t g = 0; g < schema_.groups.size(); g++) {
    if (schema_.groups[g].event_time.empty()) continue;
    Column& times = next({schema_.groups[g].event_time, GYR_DTYPE_TIMESTAMP, false});
    for (const uint8_t* row : rows) {
      int64_t event = format_.event_time(row, g);
      if (schema_.has_views() && event == RowFormat::kNever)
        times.push_null_leaf();
      else
        times.push_int(event);
    }
  }
  for (size_t c = 0; c < schema_.columns.size(); c++)
    format_.read(rows.data(), rows.size(), c, &next(schema_.columns[c]));
  out->columns.resize(n);
  out->names.resize(n);
  return {};
}

}  // namespace gyr
