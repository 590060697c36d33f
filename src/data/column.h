// Columns: how tables of values look inside gyr. Three physical kinds only: integers are int64 (bool 0/1, timestamps
// in microseconds), floats are double, strings are bytes with offsets. `dtype` remembers the logical type and is
// applied again on export. Buffers keep their capacity on clear(), so a reused Batch stops allocating.
#pragma once

#include <gyr/data.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyr {

enum class Physical : uint8_t { kInt, kFloat, kString };

constexpr Physical physical_of(gyr_dtype t) {
  if (t == GYR_DTYPE_FLOAT32 || t == GYR_DTYPE_FLOAT64) return Physical::kFloat;
  if (t == GYR_DTYPE_STRING) return Physical::kString;
  return Physical::kInt;
}
const char* dtype_name(gyr_dtype t);  // "int64", "float32", "string", ...
bool dtype_from_name(std::string_view name, gyr_dtype* out);

struct Column {
  gyr_dtype dtype = GYR_DTYPE_NONE;
  bool is_list = false;

  // Leaf values: row values, or list elements back to back. Exactly one is used, by physical_of(dtype).
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<char> chars;            // strings: bytes of all values
  std::vector<int64_t> char_offsets;  // strings: [leaves + 1]

  std::vector<uint8_t> leaf_valid;    // [leaves]; empty = all valid
  std::vector<int64_t> list_offsets;  // lists: [rows + 1]
  std::vector<uint8_t> list_valid;    // lists: [rows]; empty = all valid. A null list has zero elements.

  Physical physical() const { return physical_of(dtype); }
  int64_t leaves() const;
  int64_t rows() const { return is_list ? int64_t(list_offsets.size()) - 1 : leaves(); }
  bool leaf_is_valid(int64_t i) const { return leaf_valid.empty() || leaf_valid[size_t(i)]; }
  bool row_is_null(int64_t i) const {
    return is_list ? !list_valid.empty() && !list_valid[size_t(i)] : !leaf_is_valid(i);
  }
  std::string_view string(int64_t leaf) const {
    size_t a = size_t(char_offsets[size_t(leaf)]), b = size_t(char_offsets[size_t(leaf) + 1]);
    return {chars.data() + a, b - a};
  }

  // Empties the column (keeping capacity) and sets its type.
  void reset(gyr_dtype type, bool list);
  void push_int(int64_t v) { ints.push_back(v), mark(true); }
  void push_float(double v) { floats.push_back(v), mark(true); }
  void push_string(std::string_view v);
  void push_null_leaf();  // a null value (or list element), with a zero placeholder
  void end_list();        // lists: closes the row
  void push_null_row();   // null scalar or null list
  // Appends row i of another column of the same type.
  void append_row(const Column& from, int64_t i);

 private:
  void mark(bool valid) {
    if (!leaf_valid.empty() || !valid) mark_slow(valid);
  }
  void mark_slow(bool valid);
};

// A column of Arrow's null type (nothing but nulls, alone or in lists) as a column of the given type.
void typed_nulls(const Column& from, gyr_dtype dtype, bool is_list, Column* to);

// Columns of equal length, by name. Looked up once when a plan is made, never per row.
struct Batch {
  std::vector<std::string> names;
  std::vector<Column> columns;
  int64_t rows = 0;

  int find(std::string_view name) const;  // -1 when absent
  Column& add(std::string name, gyr_dtype type, bool list);
};

}  // namespace gyr
