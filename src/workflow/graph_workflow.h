// Workflow over a parsed graph: fitting (fit.cpp), plans and running (plan.cpp, run.cpp), rows (row.cpp), files
// (state.cpp).
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "workflow/graph.h"
#include "workflow/workflow.h"

namespace gyr::workflow {

struct GraphPlan final : Workflow::Plan {
  std::shared_ptr<const OpGraph> graph;
  std::vector<ColumnSchema> available;
  std::vector<std::string> names;
  std::vector<int> input_at;     // graph input -> position in `available`, -1 when not read
  std::vector<int> check_range;  // positions whose integers may not fit the declared type
  std::vector<Step> steps;       // the needed ones, slots resolved past skipped filters
  std::vector<int> slots;        // wanted slots, resolved
  std::vector<int> direct;       // slot -> output that it can be written to directly, or -1
  std::vector<uint8_t> skipped;  // per filter: optional and not computable
  std::vector<int> alias;        // slot -> slot it stands for
  const std::vector<std::string>& output_names() const override { return names; }
};

struct GraphScratch final : Workflow::Scratch {
  std::vector<Column> columns;             // per slot
  std::vector<const Column*> at;           // per slot, this run
  std::vector<std::vector<int64_t>> kept;  // per filter: rows that pass it
  std::vector<int64_t> rows;               // per stage
  std::vector<int64_t> map;                // rows of the current stage in the input
  std::vector<const Column*> arguments;
  std::vector<uint8_t> keep;
  Expression::Scratch expression;
};

// What one row needs; kept for the next caller.
struct RowContext {
  std::unique_ptr<Workflow::Plan> plan;
  std::unique_ptr<Workflow::Scratch> scratch;
  Batch in, out;
};

class GraphWorkflow final : public Workflow {
 public:
  GraphWorkflow(std::shared_ptr<Runtime> runtime, std::shared_ptr<const OpGraph> graph);
  ~GraphWorkflow() override;

  uint32_t passes_left() const override { return passes_left_; }
  Status fit_batch(const Batch& batch) override;
  Status merge(const Workflow& other) override;
  Status fit_finish() override;
  Result<std::shared_ptr<Workflow>> fork() const override;

  const Schema& inputs() const override { return graph_->inputs; }
  const Schema& outputs() const override { return outputs_; }
  Result<std::unique_ptr<Plan>> plan(const std::vector<ColumnSchema>& available,
                                     const std::vector<std::string>& wanted) const override;
  std::unique_ptr<Scratch> make_scratch() const override;
  Status run(const Plan& plan, const Batch& in, Scratch* scratch, Batch* out,
             std::vector<int64_t>* row_map) const override;
  Status run_row(const gyr_value* in, uint64_t n_in, gyr_value* out, uint64_t n_out, void* scratch,
                 uint64_t scratch_size) const override;
  Json describe() const override;
  Status decode(std::string_view column, int64_t code, gyr_value* out) const override;
  Status save(ContainerWriter* file, std::string_view name) const override;
  Status read_state(ByteReader* in);

 private:
  void start_pass();
  void refresh();  // passes_left_, fitting_ and outputs_ from learned_
  Status run_steps(const GraphPlan& plan, const Batch& in, GraphScratch* scratch, Batch* out) const;
  Status run_filter(const GraphPlan& plan, const Step& step, GraphScratch* scratch) const;
  Status fill_row(const gyr_value* in, Batch* batch) const;

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<const OpGraph> graph_;
  std::vector<std::shared_ptr<const Learned>> learned_;  // per node
  std::vector<std::unique_ptr<Partial>> partial_;        // per node; set while the node is being fitted
  std::vector<int> fitting_;                             // nodes of the current pass
  uint32_t passes_left_ = 0;
  uint64_t rows_seen_ = 0;
  uint64_t learned_hash_ = 0;  // of what earlier passes learned: only equal workflows merge
  Schema outputs_;
  std::unique_ptr<GraphPlan> fit_plan_;
  std::unique_ptr<Scratch> fit_scratch_;
  mutable std::array<std::atomic<RowContext*>, 16> row_contexts_{};
};

// Steps that give `wanted` slots from the available columns. Fails naming the missing input.
Result<std::unique_ptr<GraphPlan>> plan_slots(const std::shared_ptr<const OpGraph>& graph,
                                              const std::vector<ColumnSchema>& available,
                                              const std::vector<int>& wanted, const std::vector<std::string>& names);
// Per output of the graph: can it be computed?
std::vector<bool> computable_outputs(const OpGraph& graph, const std::vector<ColumnSchema>& available);

}  // namespace gyr::workflow
