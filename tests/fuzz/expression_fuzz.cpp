// Any text as an expression over columns of every kind: refused or run.
#include <cstdint>

#include "data/expression.h"

using namespace gyr;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<ColumnSchema> schemas = [] {
    std::vector<ColumnSchema> s(4);
    s[0].name = "i", s[0].dtype = GYR_DTYPE_INT64;
    s[1].name = "f", s[1].dtype = GYR_DTYPE_FLOAT64;
    s[2].name = "s", s[2].dtype = GYR_DTYPE_STRING;
    s[3].name = "l", s[3].dtype = GYR_DTYPE_INT64, s[3].is_list = true;
    return s;
  }();
  auto e = Expression::compile({reinterpret_cast<const char*>(data), size}, schemas);
  if (!e.ok()) return 0;
  Column i, f, s, l;
  i.reset(GYR_DTYPE_INT64, false), i.push_int(INT64_MIN), i.push_null_row();
  f.reset(GYR_DTYPE_FLOAT64, false), f.push_float(1e308), f.push_float(-0.5);
  s.reset(GYR_DTYPE_STRING, false), s.push_string("a"), s.push_null_row();
  l.reset(GYR_DTYPE_INT64, true), l.push_int(3), l.end_list(), l.push_null_row();
  Expression::Scratch scratch;
  std::vector<uint8_t> keep;
  std::vector<double> numbers;
  std::vector<const Column*> columns{&i, &f, &s, &l};
  if ((*e)->is_condition()) {
    if ((*e)->run_condition(columns, 2, &scratch, &keep).ok() && keep.size() != 2) __builtin_trap();
  } else if ((*e)->run_number(columns, 2, &scratch, &numbers).ok() && numbers.size() != 2) {
    __builtin_trap();
  }
  return 0;
}
