// The small typed expression language of Filter and of the pipeline's filter and order stages (docs/expression.md):
// + - * /, comparisons, and or not, `x in [1, 2]`, `x is null`, min max abs log exp sqrt, number and 'string' literals,
// column names, `x in list_column`. A NaN counts as null. Integers and strings compare exactly. Compiled and
// type-checked once against the columns; run over batches without allocation. Three-valued logic: null makes arithmetic
// and comparisons null, and a null condition is false.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/column.h"
#include "data/schema.h"

namespace gyr {

class Expression {
 public:
  // Columns in the order that run() gets them. Errors name the position in the text.
  static Result<std::unique_ptr<Expression>> compile(std::string_view text, const std::vector<ColumnSchema>& columns);
  virtual ~Expression() = default;
  virtual bool is_condition() const = 0;             // boolean, else numeric
  virtual const std::vector<int>& used() const = 0;  // positions of the columns it reads
  struct Scratch {
    std::vector<std::vector<double>> values;
    std::vector<std::vector<uint8_t>> valid;
  };
  // columns[i] may be null when not used. keep[i] = 1 where the condition is true.
  virtual Status run_condition(const std::vector<const Column*>& columns, int64_t rows, Scratch* scratch,
                               std::vector<uint8_t>* keep) const = 0;
  // NaN where null.
  virtual Status run_number(const std::vector<const Column*>& columns, int64_t rows, Scratch* scratch,
                            std::vector<double>* out) const = 0;
};

}  // namespace gyr
