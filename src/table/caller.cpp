// Caller memory: typed reads with capacities, and rows made of C values.
#include "base/clock.h"
#include "base/math.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

// Whether every value of `from` is a value of `to`. uint64 columns hold at most 2^63-1.
bool lossless(gyr_dtype from, gyr_dtype to) {
  if (from == to) return true;
  if (from == GYR_DTYPE_STRING || to == GYR_DTYPE_STRING || to < GYR_DTYPE_BOOL || to > GYR_DTYPE_TIMESTAMP)
    return false;
  struct Range {
    int bits;  // of magnitude
    bool sign, real;
  };
  auto range = [](gyr_dtype t) -> Range {
    switch (t) {
      case GYR_DTYPE_BOOL:
        return {1, false, false};
      case GYR_DTYPE_FLOAT32:
        return {24, true, true};
      case GYR_DTYPE_FLOAT64:
        return {53, true, true};
      case GYR_DTYPE_TIMESTAMP:
        return {63, true, false};
      default: {
        bool is_signed = t <= GYR_DTYPE_INT64;
        int bits = int(stored_width(t)) * 8 - is_signed;
        return {std::min(bits, 63), is_signed, false};
      }
    }
  };
  Range a = range(from), b = range(to);
  if (to == GYR_DTYPE_BOOL || (a.real && !b.real) || (a.sign && !b.sign)) return false;
  return a.bits <= b.bits;
}

struct Need {
  uint64_t values = 0, heap = 0;
};

Need measure(const RowFormat& format, const std::vector<const uint8_t*>& rows, size_t column) {
  const auto& cell = format.cells[column];
  Need need;
  if (!cell.is_list) need.values = rows.size();
  if (!cell.is_list && cell.dtype != GYR_DTYPE_STRING) return need;
  for (const uint8_t* row : rows) {
    if (!row || RowFormat::is_null(row, column)) continue;
    auto r = format.range(row, column);
    if (!cell.is_list) {
      need.heap += r.count;
      continue;
    }
    need.values += r.count;
    if (cell.dtype == GYR_DTYPE_STRING) need.heap += load<uint32_t>(r.data + size_t(r.count) * 4);
  }
  return need;
}

Status check_destination(const Field& field, const gyr_table_column& c, uint64_t count) {
  if (!lossless(field.dtype, c.dtype))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" is %s, which %s cannot hold without loss", c.name,
                dtype_name(field.dtype), dtype_name(c.dtype));
  if (field.is_list && !c.offsets)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" is a list; give offsets [%llu]", c.name,
                (unsigned long long)count + 1);
  if (!c.values && (c.values_capacity || (count && !field.is_list)))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\": values is NULL", c.name);
  if (!c.heap && c.heap_capacity)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\": heap is NULL", c.name);
  return {};
}

Status check_capacity(const gyr_table_column& c, const Need& need) {
  if (need.values > c.values_capacity)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "table",
                "column \"%.100s\": values_capacity is %llu, %llu elements are needed", c.name,
                (unsigned long long)c.values_capacity, (unsigned long long)need.values);
  if (need.heap > c.heap_capacity)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "table", "column \"%.100s\": heap_capacity is %llu, %llu bytes are needed",
                c.name, (unsigned long long)c.heap_capacity, (unsigned long long)need.heap);
  return {};
}

void copy_validity(const RowFormat::Range& r, int64_t at, const gyr_table_column& c) {
  if (!c.element_valid) return;
  if (r.valid)
    std::memcpy(c.element_valid + at, r.valid, r.count);
  else
    std::memset(c.element_valid + at, 1, r.count);
}

// Values and statuses in one pass. state: of the rows.
template <class From, class To>
void copy_scalars(uint32_t offset, const std::vector<const uint8_t*>& rows, const uint8_t* state, size_t column,
                  const gyr_table_column& c) {
  To* out = static_cast<To*>(c.values);
  uint8_t* status = c.status;
  const uint8_t* const* from = rows.data();
  for (size_t i = 0, n = rows.size(); i < n; i++) {
    const uint8_t* row = from[i];
    bool present = row && !RowFormat::is_null(row, column);
    out[i] = present ? To(load<From>(row + offset)) : To(0);
    if (status) status[i] = row && !present ? uint8_t(GYR_VALUE_NULL) : state[i];
  }
}

template <class From, class To>
void copy_lists(const RowFormat& format, const std::vector<const uint8_t*>& rows, size_t column,
                const gyr_table_column& c) {
  To* out = static_cast<To*>(c.values);
  int64_t at = 0;
  for (size_t i = 0; i < rows.size(); i++) {
    c.offsets[i] = at;
    if (!rows[i] || RowFormat::is_null(rows[i], column)) continue;
    auto r = format.range(rows[i], column);
    copy_validity(r, at, c);
    for (uint32_t k = 0; k < r.count; k++) out[at++] = To(load<From>(r.data + k * sizeof(From)));
  }
  c.offsets[rows.size()] = at;
}

void copy_strings(const RowFormat& format, const std::vector<const uint8_t*>& rows, size_t column,
                  const gyr_table_column& c) {
  bool list = format.cells[column].is_list;
  gyr_str* out = static_cast<gyr_str*>(c.values);
  char* heap = c.heap;
  int64_t at = 0;
  auto put = [&](std::string_view s) {
    if (!s.empty()) std::memcpy(heap, s.data(), s.size());
    out[at++] = {heap, s.size()};
    if (!s.empty()) heap += s.size();
  };
  for (size_t i = 0; i < rows.size(); i++) {
    if (list) c.offsets[i] = at;
    if (!rows[i] || RowFormat::is_null(rows[i], column)) {
      if (!list) out[at++] = {nullptr, 0};
      continue;
    }
    auto r = format.range(rows[i], column);
    if (!list) put({reinterpret_cast<const char*>(r.data), r.count});
    if (list) copy_validity(r, at, c);
    for (uint32_t k = 0; list && k < r.count; k++) put(RowFormat::list_string(r, k));
  }
  if (list) c.offsets[rows.size()] = at;
}

Status append_value(const Field& field, const gyr_value& v, const char* name, Column* out) {
  if (v.dtype == GYR_DTYPE_NONE) {
    out->push_null_row();
    return {};
  }
  if (bool(v.is_list) != field.is_list || v.dtype < 0 || v.dtype > GYR_DTYPE_TIMESTAMP)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "value of \"%.100s\": expected %s%s, got %s%s", name,
                field.is_list ? "list of " : "", dtype_name(field.dtype), v.is_list ? "list of " : "",
                dtype_name(v.dtype));
  if (v.is_list && v.count && !v.list)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "value of \"%.100s\": list is NULL", name);
  if (v.is_list && v.count > kMostBytes / sizeof(gyr_str))
    return fail(GYR_E_OUT_OF_RANGE, "table", "value of \"%.100s\": no memory holds a list of %llu", name,
                (unsigned long long)v.count);
  uint64_t n = v.is_list ? v.count : 1;
  for (uint64_t i = 0; i < n; i++) {
    switch (physical_of(v.dtype)) {
      case Physical::kInt:
        out->push_int(v.is_list ? static_cast<const int64_t*>(v.list)[i] : v.i);
        break;
      case Physical::kFloat:
        out->push_float(v.is_list ? static_cast<const double*>(v.list)[i] : v.f);
        break;
      case Physical::kString: {
        gyr_str s = v.is_list ? static_cast<const gyr_str*>(v.list)[i] : v.s;
        if (s.len && !s.data) return fail(GYR_E_INVALID_ARGUMENT, "table", "value of \"%.100s\": string is NULL", name);
        if (s.len > kMostBytes)
          return fail(GYR_E_OUT_OF_RANGE, "table", "value of \"%.100s\": no memory holds a string of %llu bytes", name,
                      (unsigned long long)s.len);
        out->push_string(s.len ? std::string_view(s.data, s.len) : std::string_view());
        break;
      }
    }
  }
  if (v.is_list) out->end_list();
  return {};
}

}  // namespace

Status TableImpl::read_into(const Keys& keys, int64_t now_us, const gyr_table_column* columns, uint64_t n) const {
  GYR_TRY(check_keys(keys));
  Lease scratch(*this);
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
    GYR_TRY(check_destination(schema_.columns[size_t(at)], columns[c], keys.count));
  }
  auto guard = store_.read();
  locate(keys, now_us == 0 ? realtime_us() : now_us, &*scratch);
  const auto& rows = scratch->rows;
  for (uint64_t c = 0; c < n; c++)
    GYR_TRY(check_capacity(columns[c], measure(format_, rows, size_t(scratch->columns[c]))));
  for (uint64_t c = 0; c < n; c++) {
    size_t at = size_t(scratch->columns[c]);
    gyr_dtype stored = schema_.columns[at].dtype;
    const RowFormat::Cell& cell = format_.cells[at];
    if (stored == GYR_DTYPE_STRING) {
      copy_strings(format_, rows, at, columns[c]);
    } else {
      with_stored_type(stored, [&]<class From>() {
        with_stored_type(columns[c].dtype, [&]<class To>() {
          if (cell.is_list)
            copy_lists<From, To>(format_, rows, at, columns[c]);
          else
            copy_scalars<From, To>(cell.offset, rows, scratch->state.data(), at, columns[c]);
        });
      });
      if (!cell.is_list) continue;
    }
    for (uint64_t i = 0; columns[c].status && i < keys.count; i++)
      columns[c].status[i] = rows[i] && RowFormat::is_null(rows[i], at) ? uint8_t(GYR_VALUE_NULL) : scratch->state[i];
  }
  return {};
}

Status row_batch(const Table& table, const Keys& key, int64_t event_time_us, const char* const* columns,
                 const gyr_value* values, uint64_t n, Batch* out) {
  if (key.count != 1)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "key.count is %llu; one row has one key",
                (unsigned long long)key.count);
  if (key.dtype != table.key_dtype() || !(key.dtype == GYR_DTYPE_STRING ? (const void*)key.strings : key.ints))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "the key is NULL or not %s", dtype_name(table.key_dtype()));
  *out = {};
  out->rows = 1;
  Column& k = out->add(table.key_field().name, key.dtype, false);
  if (key.dtype == GYR_DTYPE_STRING) {
    const gyr_str& s = key.strings[0];
    if (s.len && !s.data) return fail(GYR_E_INVALID_ARGUMENT, "table", "the key's string is NULL");
    k.push_string(s.len ? std::string_view(s.data, s.len) : std::string_view());
  } else {
    k.push_int(key.ints[0]);
  }
  if (!table.event_time_name().empty())
    out->add(table.event_time_name(), GYR_DTYPE_TIMESTAMP, false).push_int(event_time_us);
  else if (event_time_us != 0)
    return fail(GYR_E_INVALID_ARGUMENT, "table",
                "this table has no event time; pass 0 or name event_time in the schema");
  for (uint64_t i = 0; i < n; i++) {
    if (!columns[i]) return fail(GYR_E_INVALID_ARGUMENT, "table", "columns[%llu] is NULL", (unsigned long long)i);
    int at = table.find_column(columns[i]);
    if (at < 0) return fail(GYR_E_NOT_FOUND, "table", "the table has no column \"%.100s\"", columns[i]);
    const Field& field = table.columns()[size_t(at)];
    // A null has no type of its own.
    gyr_dtype dtype = values[i].dtype == GYR_DTYPE_NONE ? field.dtype : values[i].dtype;
    GYR_TRY(append_value(field, values[i], columns[i], &out->add(columns[i], dtype, field.is_list)));
  }
  return {};
}

}  // namespace gyr
