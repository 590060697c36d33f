#include "pipeline/bound_expression.h"

namespace gyr {

Status BoundExpression::bind(SpecReader* spec, const char* key, const std::string& text, bool condition,
                             const Binder& b) {
  std::vector<ColumnSchema> columns;
  auto add = [&](const Scope& scope, bool repeat) {
    for (size_t i = scope.schemas.size(); i-- > 0;) {
      bool hidden = false;
      for (const ColumnSchema& c : columns) hidden |= c.name == scope.schemas[i].name;
      if (hidden) continue;
      columns.push_back(scope.schemas[i]);
      refs_.push_back(scope.refs[i]);
      repeat_.push_back(repeat);
    }
  };
  add(b.item, false);
  add(b.user, true);
  auto compiled = Expression::compile(text, columns);
  if (!compiled.ok()) return std::move(compiled.status()).at(spec->path(key).c_str());
  expression_ = std::move(*compiled);
  if (expression_->is_condition() != condition)
    return spec->error(key, condition ? "must be a condition, like year >= 1990" : "must be a number, not a condition");
  return {};
}

BoundExpression::Scratch BoundExpression::make_scratch() const {
  Scratch s;
  s.repeated.resize(refs_.size());
  s.columns.assign(refs_.size(), nullptr);
  return s;
}

void BoundExpression::gather(const Workspace& w, Scratch* s) const {
  for (int i : expression_->used()) {
    ColumnRef r = refs_[size_t(i)];
    const Column& column = w.slots[r.slot].columns[r.column];
    s->columns[size_t(i)] = &column;
    if (!repeat_[size_t(i)]) continue;
    Column& repeated = s->repeated[size_t(i)];
    repeated.reset(column.dtype, column.is_list);
    for (size_t user = 0; user + 1 < w.begin.size(); user++)
      for (int64_t c = w.begin[user]; c < w.begin[user + 1]; c++) repeated.append_row(column, int64_t(user));
    s->columns[size_t(i)] = &repeated;
  }
}

Status BoundExpression::run_condition(const Workspace& w, Scratch* s, std::vector<uint8_t>* keep) const {
  gather(w, s);
  return expression_->run_condition(s->columns, int64_t(w.ids.size()), &s->expression, keep);
}

Status BoundExpression::run_number(const Workspace& w, Scratch* s, std::vector<double>* out) const {
  gather(w, s);
  return expression_->run_number(s->columns, int64_t(w.ids.size()), &s->expression, out);
}

}  // namespace gyr
