// Rows made of C values.
#include "base/math.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

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
  // The event is one of every group that it brings columns of; without columns it is one of the row.
  const TableSchema& schema = table.schema();
  std::vector<int> places(n);
  uint32_t groups = 0;
  for (uint64_t i = 0; i < n; i++) {
    if (!columns[i]) return fail(GYR_E_INVALID_ARGUMENT, "table", "columns[%llu] is NULL", (unsigned long long)i);
    places[i] = table.find_column(columns[i]);
    if (places[i] >= 0)
      groups |= 1u << schema.group_of[size_t(places[i])];
    else if (schema.created_time.empty() || schema.created_time != columns[i])
      return fail(GYR_E_NOT_FOUND, "table", "the table has no column \"%.100s\"", columns[i]);
  }
  if (groups == 0) groups = 1;
  bool timed = false;
  for (size_t g = 0; g < schema.groups.size(); g++) {
    if (!(groups >> g & 1) || schema.groups[g].event_time.empty()) continue;
    out->add(schema.groups[g].event_time, GYR_DTYPE_TIMESTAMP, false).push_int(event_time_us);
    timed = true;
  }
  if (!timed && event_time_us != 0)
    return fail(GYR_E_INVALID_ARGUMENT, "table",
                "this table has no event time; pass 0 or name event_time in the schema");
  const Field created{schema.created_time, GYR_DTYPE_TIMESTAMP, false};
  for (uint64_t i = 0; i < n; i++) {
    const Field& field = places[i] >= 0 ? schema.columns[size_t(places[i])] : created;
    // A null has no type of its own.
    gyr_dtype dtype = values[i].dtype == GYR_DTYPE_NONE ? field.dtype : values[i].dtype;
    GYR_TRY(append_value(field, values[i], columns[i], &out->add(columns[i], dtype, field.is_list)));
  }
  return {};
}

}  // namespace gyr
