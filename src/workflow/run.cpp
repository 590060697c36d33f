#include <algorithm>

#include "workflow/elements.h"
#include "workflow/graph_workflow.h"

namespace gyr::workflow {

Status check_ranges(const GraphPlan& plan, const Batch& in);

namespace {

void copy_column(const Column& from, gyr_dtype dtype, Column* to) {
  *to = from;  // vector assignment keeps the capacity of *to
  to->dtype = dtype;
}

void gather(const Column& from, const std::vector<int64_t>& rows, Column* to) {
  to->reset(from.dtype, from.is_list);
  for (int64_t r : rows) to->append_row(from, r);
}

bool row_is_missing(const Column& c, int64_t row) { return c.is_list ? c.row_is_null(row) : leaf_is_null(c, row); }

Status check_batch(const GraphPlan& plan, const Batch& in) {
  if (in.columns.size() != plan.available.size())
    return fail(GYR_E_INVALID_ARGUMENT, "workflow", "the plan was made for %zu columns, the batch has %zu",
                plan.available.size(), in.columns.size());
  for (int at : plan.input_at) {
    if (at < 0) continue;
    const ColumnSchema& want = plan.available[size_t(at)];
    const Column& got = in.columns[size_t(at)];
    if (got.dtype != want.dtype || got.is_list != want.is_list)
      return fail(GYR_E_INVALID_ARGUMENT, "workflow", "column \"%s\" is not of the type the plan was made for",
                  want.name.c_str());
    if (got.rows() != in.rows)
      return fail(GYR_E_INVALID_ARGUMENT, "workflow", "column \"%s\" has %lld rows, the batch %lld", want.name.c_str(),
                  (long long)got.rows(), (long long)in.rows);
  }
  return check_ranges(plan, in);
}

}  // namespace

std::unique_ptr<Workflow::Scratch> GraphWorkflow::make_scratch() const {
  auto scratch = std::make_unique<GraphScratch>();
  scratch->columns.resize(size_t(graph_->slots));
  scratch->at.resize(size_t(graph_->slots));
  scratch->kept.resize(graph_->filters.size());
  scratch->rows.resize(graph_->filters.size() + 1);
  return scratch;
}

Status GraphWorkflow::run_filter(const GraphPlan& plan, const Step& step, GraphScratch* s) const {
  const RowFilter& f = graph_->filters[size_t(step.index)];
  int64_t rows = s->rows[size_t(step.stage)];
  std::vector<int64_t>& kept = s->kept[size_t(step.index)];
  kept.clear();
  s->arguments.assign(f.slots.size(), nullptr);
  for (int k : f.used) s->arguments[size_t(k)] = s->at[size_t(plan.alias[size_t(f.slots[size_t(k)])])];
  if (f.condition) {
    GYR_TRY(f.condition->run_condition(s->arguments, rows, &s->expression, &s->keep));
    for (int64_t i = 0; i < rows; i++)
      if (s->keep[size_t(i)]) kept.push_back(i);
  } else {
    for (int64_t i = 0; i < rows; i++)
      if (std::none_of(s->arguments.begin(), s->arguments.end(),
                       [&](const Column* c) { return row_is_missing(*c, i); }))
        kept.push_back(i);
  }
  return {};
}

Status GraphWorkflow::run_steps(const GraphPlan& plan, const Batch& in, GraphScratch* s, Batch* out) const {
  GYR_TRY(check_batch(plan, in));
  for (size_t i = 0; i < plan.input_at.size(); i++) {
    s->at[i] = plan.input_at[i] < 0 ? nullptr : &in.columns[size_t(plan.input_at[i])];
    if (s->at[i] && s->at[i]->dtype == GYR_DTYPE_NONE) {
      const ColumnSchema& want = graph_->inputs.columns[i];
      typed_nulls(*s->at[i], want.dtype, want.is_list, &s->columns[i]);
      s->at[i] = &s->columns[i];
    }
  }
  std::fill(s->rows.begin(), s->rows.end(), in.rows);

  for (const Step& step : plan.steps) {
    if (step.kind == Step::kFilter) {
      GYR_TRY(run_filter(plan, step, s));
      std::fill(s->rows.begin() + step.stage + 1, s->rows.end(), int64_t(s->kept[size_t(step.index)].size()));
      continue;
    }
    int direct = out ? plan.direct[size_t(step.out)] : -1;
    Column* to = direct >= 0 ? &out->columns[size_t(direct)] : &s->columns[size_t(step.out)];
    const Column& from = *s->at[size_t(step.in)];
    if (step.kind == Step::kGather) {
      gather(from, s->kept[size_t(step.index)], to);
    } else {
      const OpNode& node = graph_->nodes[size_t(step.index)];
      Status status = node.op->run(learned_[size_t(step.index)].get(), from, to);
      if (!status.ok()) return std::move(status).at(node.path.c_str());
    }
    s->at[size_t(step.out)] = to;
  }
  return {};
}

Status GraphWorkflow::run(const Plan& plan_, const Batch& in, Scratch* scratch_, Batch* out,
                          std::vector<int64_t>* row_map) const {
  const GraphPlan& plan = static_cast<const GraphPlan&>(plan_);
  GraphScratch* s = static_cast<GraphScratch*>(scratch_);
  GYR_CHECK(plan.graph == graph_, "workflow");
  out->names.resize(plan.names.size());
  out->columns.resize(plan.names.size());
  GYR_TRY(run_steps(plan, in, s, out));
  for (size_t i = 0; i < plan.names.size(); i++) {
    out->names[i] = plan.names[i];
    const Column* from = s->at[size_t(plan.slots[i])];
    if (from != &out->columns[i]) copy_column(*from, from->dtype, &out->columns[i]);
    // An input that passes through may have come as another integer or float type than declared.
    int slot = plan.slots[i];
    if (size_t(slot) < plan.input_at.size()) out->columns[i].dtype = graph_->inputs.columns[size_t(slot)].dtype;
  }
  // Gathered inputs carry the type they came with; outputs have the declared one.
  for (size_t i = 0; i < plan.names.size(); i++) {
    const ColumnSchema* schema = outputs_.find(plan.names[i]);
    if (schema) out->columns[i].dtype = schema->dtype;
  }
  out->rows = s->rows.back();

  if (!row_map) return {};
  row_map->resize(size_t(in.rows));
  for (size_t i = 0; i < row_map->size(); i++) (*row_map)[i] = int64_t(i);
  for (const Step& step : plan.steps) {
    if (step.kind != Step::kFilter) continue;
    const std::vector<int64_t>& kept = s->kept[size_t(step.index)];
    for (size_t i = 0; i < kept.size(); i++) (*row_map)[i] = (*row_map)[size_t(kept[i])];  // kept[i] >= i
    row_map->resize(kept.size());
  }
  return {};
}

}  // namespace gyr::workflow
