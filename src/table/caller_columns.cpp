#include "table/caller_columns.h"

#include <algorithm>

namespace gyr {
namespace {

struct Need {
  uint64_t values = 0, heap = 0;
};

Need measure(const Source& from) {
  const auto& cell = from.format->cells[from.column];
  Need need;
  if (!cell.is_list) need.values = from.n;
  if (!cell.is_list && cell.dtype != GYR_DTYPE_STRING) return need;
  for (size_t i = 0; i < from.n; i++) {
    const uint8_t* row = from.rows[i];
    if (!row || RowFormat::is_null(row, from.column)) continue;
    auto r = from.format->range(row, from.column);
    if (!cell.is_list) {
      need.heap += r.count;
      continue;
    }
    need.values += r.count;
    if (cell.dtype == GYR_DTYPE_STRING) need.heap += load<uint32_t>(r.data + size_t(r.count) * 4);
  }
  return need;
}

void copy_validity(const RowFormat::Range& r, int64_t at, const gyr_table_column& c) {
  if (!c.element_valid) return;
  if (r.valid)
    std::memcpy(c.element_valid + at, r.valid, r.count);
  else
    std::memset(c.element_valid + at, 1, r.count);
}

// Values and statuses in one pass.
template <class From, class To>
void copy_scalars(const Source& from, const gyr_table_column& c) {
  To* out = static_cast<To*>(c.values);
  uint8_t* status = c.status;
  const size_t column = from.column;
  const uint32_t offset = from.format->cells[column].offset;
  const uint8_t* const* rows = from.rows;
  for (size_t i = 0, n = from.n; i < n; i++) {
    const uint8_t* row = rows[i];
    bool present = row && !RowFormat::is_null(row, column);
    out[i] = present ? To(load<From>(row + offset)) : To(0);
    if (status) status[i] = row && !present ? uint8_t(GYR_VALUE_NULL) : from.state[i];
  }
}

template <class From, class To>
void copy_lists(const Source& from, const gyr_table_column& c) {
  To* out = static_cast<To*>(c.values);
  int64_t at = 0;
  for (size_t i = 0; i < from.n; i++) {
    c.offsets[i] = at;
    const uint8_t* row = from.rows[i];
    if (!row || RowFormat::is_null(row, from.column)) continue;
    auto r = from.format->range(row, from.column);
    copy_validity(r, at, c);
    for (uint32_t k = 0; k < r.count; k++) out[at++] = To(load<From>(r.data + k * sizeof(From)));
  }
  c.offsets[from.n] = at;
  copy_statuses(from, c.status);
}

void copy_strings(const Source& from, const gyr_table_column& c) {
  bool list = from.format->cells[from.column].is_list;
  gyr_str* out = static_cast<gyr_str*>(c.values);
  char* heap = c.heap;
  int64_t at = 0;
  auto put = [&](std::string_view s) {
    if (!s.empty()) std::memcpy(heap, s.data(), s.size());
    out[at++] = {heap, s.size()};
    if (!s.empty()) heap += s.size();
  };
  for (size_t i = 0; i < from.n; i++) {
    if (list) c.offsets[i] = at;
    const uint8_t* row = from.rows[i];
    if (!row || RowFormat::is_null(row, from.column)) {
      if (!list) out[at++] = {nullptr, 0};
      continue;
    }
    auto r = from.format->range(row, from.column);
    if (!list) put({reinterpret_cast<const char*>(r.data), r.count});
    if (list) copy_validity(r, at, c);
    for (uint32_t k = 0; list && k < r.count; k++) put(RowFormat::list_string(r, k));
  }
  if (list) c.offsets[from.n] = at;
  copy_statuses(from, c.status);
}

}  // namespace

void copy_statuses(const Source& from, uint8_t* to) {
  for (size_t i = 0; to && i < from.n; i++) {
    const uint8_t* row = from.rows[i];
    to[i] = row && RowFormat::is_null(row, from.column) ? uint8_t(GYR_VALUE_NULL) : from.state[i];
  }
}

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

CopyColumn copy_of(const Field& stored, gyr_dtype wanted) {
  if (stored.dtype == GYR_DTYPE_STRING) return copy_strings;
  return with_stored_type(stored.dtype, [&]<class From>() {
    return with_stored_type(wanted, [&]<class To>() -> CopyColumn {
      return stored.is_list ? copy_lists<From, To> : copy_scalars<From, To>;
    });
  });
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

Status check_capacity(const Source& from, const gyr_table_column& c) {
  Need need = measure(from);
  if (need.values > c.values_capacity)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "table",
                "column \"%.100s\": values_capacity is %llu, %llu elements are needed", c.name,
                (unsigned long long)c.values_capacity, (unsigned long long)need.values);
  if (need.heap > c.heap_capacity)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "table", "column \"%.100s\": heap_capacity is %llu, %llu bytes are needed",
                c.name, (unsigned long long)c.heap_capacity, (unsigned long long)need.heap);
  return {};
}

}  // namespace gyr
