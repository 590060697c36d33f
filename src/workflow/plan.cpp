#include <algorithm>

#include "workflow/graph_workflow.h"

namespace gyr::workflow {
namespace {

// For each slot the first graph input it lacks (-1 = none), and which optional filters fall away with their columns.
struct Reach {
  std::vector<int> lacks;
  std::vector<uint8_t> skipped;
  std::vector<int> filter_lacks;
};

std::vector<int> match_inputs(const OpGraph& graph, const std::vector<ColumnSchema>& available) {
  std::vector<int> at(graph.inputs.columns.size(), -1);
  for (size_t i = 0; i < at.size(); i++)
    for (size_t k = 0; k < available.size() && at[i] < 0; k++)
      if (available[k].name == graph.inputs.columns[i].name) at[i] = int(k);
  return at;
}

Reach reach(const OpGraph& graph, const std::vector<int>& input_at) {
  Reach r{std::vector<int>(size_t(graph.slots), -1), std::vector<uint8_t>(graph.filters.size()),
          std::vector<int>(graph.filters.size(), -1)};
  for (size_t i = 0; i < input_at.size(); i++)
    if (input_at[i] < 0) r.lacks[i] = int(i);
  for (const Step& s : graph.steps) {
    if (s.kind == Step::kFilter) {
      const RowFilter& f = graph.filters[size_t(s.index)];
      for (int k : f.used) {
        int lack = r.lacks[size_t(f.slots[size_t(k)])];
        if (lack < 0) continue;
        if (f.optional)
          r.skipped[size_t(s.index)] = 1;
        else
          r.filter_lacks[size_t(s.index)] = lack;
      }
      continue;
    }
    int lack = r.lacks[size_t(s.in)];
    if (lack < 0 && s.kind == Step::kGather) lack = r.filter_lacks[size_t(s.index)];
    r.lacks[size_t(s.out)] = lack;
  }
  return r;
}

int64_t type_min(gyr_dtype t) {
  switch (t) {
    case GYR_DTYPE_INT8:
      return INT8_MIN;
    case GYR_DTYPE_INT16:
      return INT16_MIN;
    case GYR_DTYPE_INT32:
      return INT32_MIN;
    case GYR_DTYPE_INT64:
    case GYR_DTYPE_TIMESTAMP:
      return INT64_MIN;
    default:
      return 0;
  }
}
int64_t type_max(gyr_dtype t) {
  switch (t) {
    case GYR_DTYPE_BOOL:
      return 1;
    case GYR_DTYPE_INT8:
      return INT8_MAX;
    case GYR_DTYPE_INT16:
      return INT16_MAX;
    case GYR_DTYPE_INT32:
      return INT32_MAX;
    case GYR_DTYPE_UINT8:
      return UINT8_MAX;
    case GYR_DTYPE_UINT16:
      return UINT16_MAX;
    case GYR_DTYPE_UINT32:
      return UINT32_MAX;
    default:
      return INT64_MAX;
  }
}

Status check_type(const ColumnSchema& want, const ColumnSchema& got) {
  // Arrow's null type, alone or in lists: nothing but nulls, which fit any type.
  if (got.dtype == GYR_DTYPE_NONE && got.is_list <= want.is_list) return {};
  bool time_matches = (want.dtype == GYR_DTYPE_TIMESTAMP) == (got.dtype == GYR_DTYPE_TIMESTAMP) ||
                      want.dtype == GYR_DTYPE_INT64 || got.dtype == GYR_DTYPE_INT64;
  if (got.dtype != GYR_DTYPE_NONE && physical_of(want.dtype) == physical_of(got.dtype) && time_matches &&
      want.is_list == got.is_list)
    return {};
  return fail(GYR_E_INVALID_ARGUMENT, "workflow", "input \"%s\": the graph declares %s%s, the data holds %s%s",
              want.name.c_str(), want.is_list ? "a list of " : "", dtype_name(want.dtype),
              got.is_list ? "a list of " : "", dtype_name(got.dtype));
}

}  // namespace

std::vector<bool> computable_outputs(const OpGraph& graph, const std::vector<ColumnSchema>& available) {
  Reach r = reach(graph, match_inputs(graph, available));
  std::vector<bool> out;
  for (const Output& o : graph.outputs) out.push_back(r.lacks[size_t(o.slot)] < 0);
  return out;
}

Result<std::unique_ptr<GraphPlan>> plan_slots(const std::shared_ptr<const OpGraph>& graph,
                                              const std::vector<ColumnSchema>& available,
                                              const std::vector<int>& wanted, const std::vector<std::string>& names) {
  auto plan = std::make_unique<GraphPlan>();
  plan->graph = graph;
  plan->available = available;
  plan->names = names;
  plan->input_at = match_inputs(*graph, available);
  Reach r = reach(*graph, plan->input_at);
  plan->skipped = r.skipped;

  size_t n_slots = size_t(graph->slots), n_inputs = plan->input_at.size();
  std::vector<int>& alias = plan->alias;
  alias.resize(n_slots);
  for (size_t i = 0; i < n_slots; i++) alias[i] = int(i);
  for (const Step& s : graph->steps)
    if (s.kind == Step::kGather && r.skipped[size_t(s.index)]) alias[size_t(s.out)] = alias[size_t(s.in)];

  std::vector<uint8_t> need(n_slots), need_filter(graph->filters.size());
  for (size_t i = 0; i < wanted.size(); i++) {
    int lack = r.lacks[size_t(wanted[i])];
    if (lack >= 0)
      return fail(GYR_E_INVALID_ARGUMENT, "workflow", "output \"%s\" needs input \"%s\", which is not in the data",
                  names[i].c_str(), graph->inputs.columns[size_t(lack)].name.c_str());
    int slot = alias[size_t(wanted[i])];
    plan->slots.push_back(slot);
    need[size_t(slot)] = 1;
  }
  for (size_t i = graph->steps.size(); i-- > 0;) {
    Step s = graph->steps[i];
    if (s.kind == Step::kFilter) {
      const RowFilter& f = graph->filters[size_t(s.index)];
      if (!need_filter[size_t(s.index)]) continue;
      for (int k : f.used) need[size_t(alias[size_t(f.slots[size_t(k)])])] = 1;
    } else {
      if (alias[size_t(s.out)] != s.out || !need[size_t(s.out)]) continue;
      s.in = alias[size_t(s.in)];
      need[size_t(s.in)] = 1;
      if (s.kind == Step::kGather) need_filter[size_t(s.index)] = 1;
    }
    plan->steps.push_back(s);
  }
  std::reverse(plan->steps.begin(), plan->steps.end());

  for (size_t i = 0; i < n_inputs; i++) {
    if (!need[i]) {
      plan->input_at[i] = -1;
      continue;
    }
    const ColumnSchema &want = graph->inputs.columns[i], &got = available[size_t(plan->input_at[i])];
    GYR_TRY(check_type(want, got));
    if (physical_of(want.dtype) == Physical::kInt &&
        (type_min(got.dtype) < type_min(want.dtype) || type_max(got.dtype) > type_max(want.dtype)))
      plan->check_range.push_back(int(i));
  }
  plan->direct.assign(n_slots, -1);
  for (size_t i = 0; i < plan->slots.size(); i++) {
    int slot = plan->slots[i];
    if (size_t(slot) >= n_inputs && plan->direct[size_t(slot)] < 0) plan->direct[size_t(slot)] = int(i);
  }
  return plan;
}

Result<std::unique_ptr<Workflow::Plan>> GraphWorkflow::plan(const std::vector<ColumnSchema>& available,
                                                            const std::vector<std::string>& wanted) const {
  if (passes_left_)
    return fail(GYR_E_INVALID_STATE, "workflow", "the workflow is not fitted: %u passes are left", passes_left_);
  std::vector<int> slots;
  std::vector<std::string> names;
  if (wanted.empty()) {
    std::vector<bool> can = computable_outputs(*graph_, available);
    for (size_t i = 0; i < can.size(); i++) {
      if (!can[i]) continue;
      slots.push_back(graph_->outputs[i].slot);
      names.push_back(graph_->outputs[i].schema.name);
    }
    if (slots.empty()) {  // say what is missing for the first one
      slots.push_back(graph_->outputs[0].slot);
      names.push_back(graph_->outputs[0].schema.name);
    }
  }
  for (const std::string& name : wanted) {
    const Output* found = nullptr;
    for (const Output& o : graph_->outputs)
      if (o.schema.name == name) found = &o;
    if (!found) return fail(GYR_E_NOT_FOUND, "workflow", "the workflow has no output \"%s\"", name.c_str());
    slots.push_back(found->slot);
    names.push_back(name);
  }
  GYR_ASSIGN(std::unique_ptr<GraphPlan> made, plan_slots(graph_, available, slots, names));
  return std::unique_ptr<Plan>(std::move(made));
}

// Values of a wider integer type must fit what the graph declares. Used by run_steps.
Status check_ranges(const GraphPlan& plan, const Batch& in) {
  for (int i : plan.check_range) {
    const ColumnSchema& want = plan.graph->inputs.columns[size_t(i)];
    const Column& got = in.columns[size_t(plan.input_at[size_t(i)])];
    int64_t min = type_min(want.dtype), max = type_max(want.dtype);
    for (size_t k = 0; k < got.ints.size(); k++)
      if ((got.ints[k] < min || got.ints[k] > max) && got.leaf_is_valid(int64_t(k)))
        return fail(GYR_E_INVALID_ARGUMENT, "workflow", "input \"%s\": value %lld at position %zu does not fit %s",
                    want.name.c_str(), (long long)got.ints[k], k, dtype_name(want.dtype));
  }
  return {};
}

}  // namespace gyr::workflow
