// How a table packs one row into a block of bytes (in memory only; files hold columns):
//   int64 event time | one bit per column, 1 = not null | int64 event times of views | fixed cells | lists and strings
// A scalar's cell is the value in its own width; a string's or list's cell is {uint32 offset, uint32 count} into the
// block. A list is: count bytes of element validity when kHasNulls is set in its count, then (aligned) the elements, or
// for strings count + 1 uint32 ends and the bytes.
#pragma once

#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/arrow.h"
#include "data/column.h"

namespace gyr {

struct RowFormat {
  struct Cell {
    gyr_dtype dtype;
    bool is_list;
    uint32_t offset;  // of the cell in the block
    uint32_t group;   // 0: the row's own columns; 1 + v: view v's
  };
  std::vector<Cell> cells;
  uint32_t fixed_size = 0, groups = 1, view_times = 0;  // where the views' event times are
  bool has_ranges = false;                              // some column is a string or a list

  static constexpr uint32_t kHasNulls = 1u << 31;
  static constexpr uint64_t kMaxRow = 1u << 28;
  static constexpr int64_t kNever = INT64_MIN;  // event time of a group that no row brought yet; tables with views only

  // groups: of every column, or empty when there are no views.
  RowFormat(const std::vector<Field>& columns, const std::vector<uint32_t>& groups);
  explicit RowFormat(const std::vector<Field>& columns) : RowFormat(columns, {}) {}
  RowFormat() = default;

  static int64_t event_time(const uint8_t* row) {
    int64_t t;
    std::memcpy(&t, row, sizeof t);
    return t;
  }
  int64_t event_time(const uint8_t* row, uint32_t group) const {
    return group == 0 ? event_time(row) : event_time(row + view_times + size_t(group - 1) * 8);
  }
  static bool is_null(const uint8_t* row, size_t column) { return !(row[8 + column / 8] >> column % 8 & 1); }

  // What a row is made of. Bit g of take: columns of group g come from row i of `from` where that has them; bit g of
  // keep: elsewhere they stay what they are in `old`. What comes from nowhere is null.
  struct Merge {
    const uint8_t* old;  // null = none
    const std::vector<const Column*>& from;
    int64_t i;
    uint32_t take = 1, keep = 1;
  };
  // Sizes first (so that the block can be allocated), then writes. times: of each group.
  uint64_t size(const Merge& merge) const;
  void write(const Merge& merge, const int64_t* times, uint8_t* row, uint64_t row_size) const;

  struct Range {
    const uint8_t* data;   // lists: the elements (strings: the ends); strings: the bytes
    const uint8_t* valid;  // lists: per element, or null
    uint32_t count;
  };
  Range range(const uint8_t* row, size_t column) const;
  // Bytes of a list of strings lie behind its ends.
  static std::string_view list_string(const Range& r, uint32_t i) {
    uint32_t ends[2];
    std::memcpy(ends, r.data + size_t(i) * 4, sizeof ends);
    return {reinterpret_cast<const char*>(r.data) + (size_t(r.count) + 1) * 4 + ends[0], ends[1] - ends[0]};
  }

  // Appends column c of every row to *out (reset by the caller); null rows become null.
  void read(const uint8_t* const* rows, size_t n, size_t column, Column* out) const;

 private:
  template <class T, class V>
  void read_numbers(const uint8_t* const* rows, size_t n, size_t column, std::vector<V>* values,
                    std::vector<uint8_t>* valid) const;
};

// Whether an event is beyond its time to live (0 = none) at `time`.
inline bool expired_by(int64_t event, int64_t ttl_us, int64_t time) {
  int64_t expires;
  return ttl_us && !__builtin_add_overflow(event, ttl_us, &expires) && expires < time;
}

// Calls fn with a value of the stored type: f.template operator()<T>() for numbers.
template <class F>
decltype(auto) with_stored_type(gyr_dtype t, F&& f) {
  switch (t) {
    case GYR_DTYPE_BOOL:
    case GYR_DTYPE_UINT8:
      return f.template operator()<uint8_t>();
    case GYR_DTYPE_INT8:
      return f.template operator()<int8_t>();
    case GYR_DTYPE_INT16:
      return f.template operator()<int16_t>();
    case GYR_DTYPE_UINT16:
      return f.template operator()<uint16_t>();
    case GYR_DTYPE_INT32:
      return f.template operator()<int32_t>();
    case GYR_DTYPE_UINT32:
      return f.template operator()<uint32_t>();
    case GYR_DTYPE_UINT64:
      return f.template operator()<uint64_t>();
    case GYR_DTYPE_FLOAT32:
      return f.template operator()<float>();
    case GYR_DTYPE_FLOAT64:
      return f.template operator()<double>();
    default:
      return f.template operator()<int64_t>();
  }
}
inline uint32_t stored_width(gyr_dtype t) {
  return with_stored_type(t, []<class T>() { return uint32_t(sizeof(T)); });
}
template <class T>
T load(const uint8_t* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace gyr
