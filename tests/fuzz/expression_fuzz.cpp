// Any text as an expression over columns of every kind: refused or run, all rows at once as one by one.
#include "data/expression.h"
#include "tests/fuzz/common.h"

using namespace gyr;
using namespace gyr::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<ColumnSchema> schemas = [] {
    std::vector<ColumnSchema> s(6);
    s[0].name = "i", s[0].dtype = GYR_DTYPE_INT64;
    s[1].name = "f", s[1].dtype = GYR_DTYPE_FLOAT64;
    s[2].name = "s", s[2].dtype = GYR_DTYPE_STRING;
    s[3].name = "l", s[3].dtype = GYR_DTYPE_INT64, s[3].is_list = true;
    s[4].name = "b", s[4].dtype = GYR_DTYPE_BOOL;
    s[5].name = "t", s[5].dtype = GYR_DTYPE_TIMESTAMP;
    return s;
  }();
  static const Batch batch = rows_for(schemas, true);
  auto e = Expression::compile(text_of(data, size), schemas);
  if (!e.ok()) {
    refused(e.status());
    return 0;
  }
  std::vector<const Column*> columns;
  for (const Column& c : batch.columns) columns.push_back(&c);
  Expression::Scratch scratch;
  std::vector<uint8_t> keep, keep_one;
  std::vector<double> number, number_one;
  bool condition = (*e)->is_condition();
  Status all = condition ? (*e)->run_condition(columns, kRows, &scratch, &keep)
                         : (*e)->run_number(columns, kRows, &scratch, &number);
  check(all);
  if (!all.ok()) return 0;
  for (int64_t row = 0; row < kRows; row++) {
    Batch one;
    for (size_t c = 0; c < schemas.size(); c++)
      one.add(schemas[c].name, schemas[c].dtype, schemas[c].is_list).append_row(batch.columns[c], row);
    for (size_t c = 0; c < schemas.size(); c++) columns[c] = &one.columns[c];
    if (condition) {
      expect_ok((*e)->run_condition(columns, 1, &scratch, &keep_one), "a row runs as the batch does");
      must(keep_one[0] == keep[size_t(row)], "a row is kept as in the batch");
    } else {
      expect_ok((*e)->run_number(columns, 1, &scratch, &number_one), "a row runs as the batch does");
      double a = number_one[0], b = number[size_t(row)];
      must(a == b || (a != a && b != b), "a row has its value of the batch");
    }
  }
  return 0;
}
