// An expression over the candidates: item columns, scores, and user or context scalars repeated per candidate.
#pragma once

#include "data/expression.h"
#include "pipeline/stage.h"

namespace gyr {

class BoundExpression {
 public:
  struct Scratch {
    Expression::Scratch expression;
    std::vector<Column> repeated;
    std::vector<const Column*> columns;
  };

  Status bind(SpecReader* spec, const char* key, const std::string& text, bool condition, const Binder& binder);
  Scratch make_scratch() const;
  Status run_condition(const Workspace& w, Scratch* scratch, std::vector<uint8_t>* keep) const;
  Status run_number(const Workspace& w, Scratch* scratch, std::vector<double>* out) const;

 private:
  void gather(const Workspace& w, Scratch* scratch) const;
  std::unique_ptr<Expression> expression_;
  std::vector<ColumnRef> refs_;
  std::vector<uint8_t> repeat_;  // 1 = a user column
};

}  // namespace gyr
