#include "data/column.h"

namespace gyr {
namespace {

constexpr const char* kDtypeNames[] = {"none",   "bool",   "int8",   "int16",   "int32",   "int64",  "uint8",
                                       "uint16", "uint32", "uint64", "float32", "float64", "string", "timestamp"};

template <class T>
void append_range(std::vector<T>* to, const std::vector<T>& from, int64_t begin, int64_t end) {
  to->insert(to->end(), from.begin() + begin, from.begin() + end);
}

}  // namespace

const char* dtype_name(gyr_dtype t) {
  return t >= 0 && size_t(t) < std::size(kDtypeNames) ? kDtypeNames[t] : "unknown";
}

bool dtype_from_name(std::string_view name, gyr_dtype* out) {
  for (size_t i = 1; i < std::size(kDtypeNames); i++) {
    if (name != kDtypeNames[i]) continue;
    *out = gyr_dtype(i);
    return true;
  }
  return false;
}

int64_t Column::leaves() const {
  switch (physical()) {
    case Physical::kInt:
      return int64_t(ints.size());
    case Physical::kFloat:
      return int64_t(floats.size());
    case Physical::kString:
      break;
  }
  return char_offsets.empty() ? 0 : int64_t(char_offsets.size()) - 1;
}

void Column::reset(gyr_dtype type, bool list) {
  dtype = type;
  is_list = list;
  ints.clear();
  floats.clear();
  chars.clear();
  char_offsets.clear();
  leaf_valid.clear();
  list_offsets.clear();
  list_valid.clear();
  if (physical() == Physical::kString) char_offsets.push_back(0);
  if (list) list_offsets.push_back(0);
}

void Column::push_string(std::string_view v) {
  chars.insert(chars.end(), v.begin(), v.end());
  char_offsets.push_back(int64_t(chars.size()));
  mark(true);
}

// Called after the value was pushed.
void Column::mark_slow(bool valid) {
  leaf_valid.resize(size_t(leaves()) - 1, 1);
  leaf_valid.push_back(valid);
}

void Column::push_null_leaf() {
  switch (physical()) {
    case Physical::kInt:
      ints.push_back(0);
      break;
    case Physical::kFloat:
      floats.push_back(0);
      break;
    case Physical::kString:
      char_offsets.push_back(int64_t(chars.size()));
      break;
  }
  mark(false);
}

void Column::end_list() {
  list_offsets.push_back(leaves());
  if (!list_valid.empty()) list_valid.push_back(1);
}

void Column::push_null_row() {
  if (!is_list) return push_null_leaf();
  list_offsets.push_back(leaves());
  list_valid.resize(size_t(rows()) - 1, 1);
  list_valid.push_back(0);
}

void Column::append_row(const Column& from, int64_t i) {
  int64_t begin = i, end = i + 1;
  if (is_list) {
    begin = from.list_offsets[size_t(i)];
    end = from.list_offsets[size_t(i) + 1];
    if (from.row_is_null(i)) return push_null_row();
  }
  int64_t before = leaves();
  switch (physical()) {
    case Physical::kInt:
      append_range(&ints, from.ints, begin, end);
      break;
    case Physical::kFloat:
      append_range(&floats, from.floats, begin, end);
      break;
    case Physical::kString: {
      int64_t shift = int64_t(chars.size()) - from.char_offsets[size_t(begin)];
      append_range(&chars, from.chars, from.char_offsets[size_t(begin)], from.char_offsets[size_t(end)]);
      for (int64_t k = begin; k < end; k++) char_offsets.push_back(from.char_offsets[size_t(k) + 1] + shift);
      break;
    }
  }
  bool nulls = false;
  for (int64_t k = begin; k < end; k++) nulls |= !from.leaf_is_valid(k);
  if (nulls || !leaf_valid.empty()) {
    leaf_valid.resize(size_t(before), 1);
    for (int64_t k = begin; k < end; k++) leaf_valid.push_back(from.leaf_is_valid(k));
  }
  if (is_list) end_list();
}

int Batch::find(std::string_view name) const {
  for (size_t i = 0; i < names.size(); i++)
    if (names[i] == name) return int(i);
  return -1;
}

Column& Batch::add(std::string name, gyr_dtype type, bool list) {
  names.push_back(std::move(name));
  columns.emplace_back().reset(type, list);
  return columns.back();
}

void typed_nulls(const Column& from, gyr_dtype dtype, bool is_list, Column* to) {
  to->reset(dtype, is_list);
  if (from.is_list != is_list) {
    for (int64_t r = 0; r < from.rows(); r++) to->push_null_row();
    return;
  }
  size_t leaves = size_t(from.leaves());
  if (to->physical() == Physical::kInt)
    to->ints.assign(leaves, 0);
  else if (to->physical() == Physical::kFloat)
    to->floats.assign(leaves, 0);
  else
    to->char_offsets.assign(leaves + 1, 0);
  to->leaf_valid.assign(leaves, 0);
  to->list_offsets = from.list_offsets;
  to->list_valid = from.list_valid;
}

}  // namespace gyr
