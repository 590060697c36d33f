#include <algorithm>

#include "base/hash.h"
#include "workflow/graph_workflow.h"

namespace gyr::workflow {
namespace {

// Pass in which each unfitted node learns (1 = the current one), 0 for fitted nodes. A node waits for every unfitted
// node that its columns, or the filters they went through, depend on.
std::vector<uint32_t> pass_of_nodes(const OpGraph& graph, const std::vector<std::shared_ptr<const Learned>>& learned) {
  std::vector<uint32_t> node(graph.nodes.size()), slot(size_t(graph.slots)), filter(graph.filters.size());
  for (const Step& s : graph.steps) {
    size_t i = size_t(s.index);
    if (s.kind == Step::kFilter) {
      const RowFilter& f = graph.filters[i];
      for (int k : f.used) filter[i] = std::max(filter[i], slot[size_t(f.slots[size_t(k)])]);
    } else if (s.kind == Step::kGather) {
      slot[size_t(s.out)] = std::max(slot[size_t(s.in)], filter[i]);
    } else if (!graph.nodes[i].op->learns() || learned[i]) {
      slot[size_t(s.out)] = slot[size_t(s.in)];
    } else {
      uint32_t after = 0;
      for (int in : graph.nodes[i].in) after = std::max(after, slot[size_t(in)]);
      node[i] = slot[size_t(s.out)] = after + 1;
    }
  }
  return node;
}

}  // namespace

GraphWorkflow::GraphWorkflow(std::shared_ptr<Runtime> runtime, std::shared_ptr<const OpGraph> graph)
    : runtime_(std::move(runtime)), graph_(std::move(graph)) {
  for (const OpNode& node : graph_->nodes) learned_.push_back(node.op->given());
  partial_.resize(graph_->nodes.size());
  refresh();
  start_pass();
}

GraphWorkflow::~GraphWorkflow() {
  for (auto& context : row_contexts_) delete context.load();
}

void GraphWorkflow::refresh() {
  std::vector<uint32_t> pass = pass_of_nodes(*graph_, learned_);
  fitting_.clear();
  passes_left_ = 0;
  for (size_t i = 0; i < pass.size(); i++) {
    passes_left_ = std::max(passes_left_, pass[i]);
    if (pass[i] == 1) fitting_.push_back(int(i));
  }
  outputs_.columns.clear();
  for (const Output& o : graph_->outputs) {
    ColumnSchema& column = outputs_.columns.emplace_back(o.schema);
    if (o.is_code)
      column.cardinality = graph_->nodes[size_t(o.learned_by)].op->cardinality(learned_[size_t(o.learned_by)].get());
  }
}

void GraphWorkflow::start_pass() {
  for (auto& p : partial_) p.reset();
  for (int i : fitting_) partial_[size_t(i)] = graph_->nodes[size_t(i)].op->start(runtime_->memory());
  rows_seen_ = 0;
  fit_plan_.reset();
}

Status GraphWorkflow::fit_batch(const Batch& batch) {
  if (passes_left_ == 0) return fail(GYR_E_INVALID_STATE, "workflow", "the workflow is fitted already");
  bool same =
      fit_plan_ && fit_plan_->available.size() == batch.columns.size() && batch.names.size() == batch.columns.size();
  for (size_t i = 0; same && i < batch.columns.size(); i++) {
    const ColumnSchema& a = fit_plan_->available[i];
    same = a.name == batch.names[i] && a.dtype == batch.columns[i].dtype && a.is_list == batch.columns[i].is_list;
  }
  if (!same) {
    std::vector<ColumnSchema> available;
    for (size_t i = 0; i < batch.columns.size(); i++)
      available.push_back({batch.names[i], batch.columns[i].dtype, batch.columns[i].is_list});
    std::vector<int> slots;
    std::vector<std::string> names;
    for (int i : fitting_)
      for (int slot : graph_->nodes[size_t(i)].in) {
        slots.push_back(slot);
        names.push_back(graph_->nodes[size_t(i)].path);
      }
    GYR_ASSIGN(fit_plan_, plan_slots(graph_, available, slots, names));
    if (!fit_scratch_) fit_scratch_ = make_scratch();
  }
  GraphScratch* scratch = static_cast<GraphScratch*>(fit_scratch_.get());
  GYR_TRY(run_steps(*fit_plan_, batch, scratch, nullptr));
  size_t at = 0;
  for (int i : fitting_) {
    const OpNode& node = graph_->nodes[size_t(i)];
    for (size_t k = 0; k < node.in.size(); k++) {
      const Column* column = scratch->at[size_t(fit_plan_->slots[at++])];
      Status s = node.op->observe(*column, partial_[size_t(i)].get());
      if (!s.ok()) return std::move(s).at(node.path.c_str());
    }
  }
  rows_seen_ += uint64_t(batch.rows);
  return {};
}

Result<std::shared_ptr<Workflow>> GraphWorkflow::fork() const {
  auto made = std::make_shared<GraphWorkflow>(runtime_, graph_);
  made->learned_ = learned_;
  made->learned_hash_ = learned_hash_;
  made->refresh();
  made->start_pass();
  return std::shared_ptr<Workflow>(std::move(made));
}

Status GraphWorkflow::merge(const Workflow& other_) {
  const GraphWorkflow& other = static_cast<const GraphWorkflow&>(other_);
  if (&other == this) return fail(GYR_E_INVALID_ARGUMENT, "workflow", "a workflow cannot be merged into itself");
  if (other.graph_ != graph_ && other.graph_->json != graph_->json)
    return fail(GYR_E_INVALID_ARGUMENT, "workflow", "the other workflow has another graph");
  if (passes_left_ == 0) return fail(GYR_E_INVALID_STATE, "workflow", "the workflow is fitted already");
  if (other.passes_left_ != passes_left_)
    return fail(GYR_E_INVALID_STATE, "workflow", "the other workflow has %u passes left, this one %u",
                other.passes_left_, passes_left_);
  if (other.learned_hash_ != learned_hash_)
    return fail(GYR_E_INVALID_STATE, "workflow", "the other workflow learned something else in earlier passes");
  for (int i : fitting_)
    GYR_TRY(graph_->nodes[size_t(i)].op->prepare(partial_[size_t(i)].get(), *other.partial_[size_t(i)]));
  for (int i : fitting_) graph_->nodes[size_t(i)].op->add(partial_[size_t(i)].get(), *other.partial_[size_t(i)]);
  rows_seen_ += other.rows_seen_;
  return {};
}

Status GraphWorkflow::fit_finish() {
  if (passes_left_ == 0) return fail(GYR_E_INVALID_STATE, "workflow", "the workflow is fitted already");
  if (rows_seen_ == 0)
    return fail(GYR_E_INVALID_STATE, "workflow", "this pass has seen no rows; call fit_partial with data first");
  std::vector<std::shared_ptr<const Learned>> made;
  for (int i : fitting_) {
    GYR_ASSIGN(auto learned, graph_->nodes[size_t(i)].op->finish(*partial_[size_t(i)], runtime_->memory()));
    made.push_back(std::move(learned));
  }
  uint64_t hash = learned_hash_;
  if (passes_left_ > 1) {
    ByteWriter bytes;
    bytes.put(hash);
    for (size_t k = 0; k < made.size(); k++) graph_->nodes[size_t(fitting_[k])].op->write(*made[k], &bytes);
    hash = hash64(bytes.bytes().data(), bytes.bytes().size());
  }
  // The next pass is prepared aside: want of memory leaves this one as it was.
  GraphWorkflow next(runtime_, graph_);
  next.learned_ = learned_;
  for (size_t k = 0; k < made.size(); k++) next.learned_[size_t(fitting_[k])] = std::move(made[k]);
  next.refresh();
  next.start_pass();
  learned_.swap(next.learned_);
  partial_.swap(next.partial_);
  fitting_.swap(next.fitting_);
  std::swap(outputs_, next.outputs_);
  passes_left_ = next.passes_left_;
  learned_hash_ = hash;
  rows_seen_ = 0;
  fit_plan_.reset();
  return {};
}

Json GraphWorkflow::describe() const {
  Json json = to_json(outputs_);
  Json& columns = json["columns"];
  for (size_t i = 0; i < graph_->outputs.size(); i++) {
    const Output& o = graph_->outputs[i];
    if (o.learned_by >= 0 && learned_[size_t(o.learned_by)])
      columns[i]["statistics"] = graph_->nodes[size_t(o.learned_by)].op->statistics(*learned_[size_t(o.learned_by)]);
  }
  json["inputs"] = std::move(to_json(graph_->inputs)["columns"]);
  return json;
}

Status GraphWorkflow::decode(std::string_view column, int64_t code, gyr_value* out) const {
  for (const Output& o : graph_->outputs) {
    if (o.schema.name != column || !o.is_code) continue;
    const auto& learned = learned_[size_t(o.learned_by)];
    if (!learned)
      return fail(GYR_E_INVALID_STATE, "workflow", "the workflow is not fitted: %u passes are left", passes_left_);
    return graph_->nodes[size_t(o.learned_by)].op->decode(learned.get(), code, out);
  }
  return fail(GYR_E_NOT_FOUND, "workflow", "no output \"%.*s\" made by Categorify",
              int(std::min<size_t>(column.size(), 200)), column.data());
}

}  // namespace gyr::workflow

namespace gyr {

Result<std::shared_ptr<Workflow>> Workflow::create(std::shared_ptr<Runtime> runtime, std::string_view json) {
  GYR_ASSIGN(auto graph, workflow::parse_graph(json, runtime->memory()));
  return std::shared_ptr<Workflow>(std::make_shared<workflow::GraphWorkflow>(std::move(runtime), std::move(graph)));
}

}  // namespace gyr
