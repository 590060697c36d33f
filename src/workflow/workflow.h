// The feature-engineering graph: see include/gyr/workflow.h for the contract.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/column.h"
#include "data/schema.h"
#include "exec/runtime.h"
#include "exec/task.h"
#include "io/container.h"

namespace gyr {

class Workflow {
 public:
  static Result<std::shared_ptr<Workflow>> create(std::shared_ptr<Runtime> runtime, std::string_view json);
  // Section `name` of a container (a saved file uses "workflow", a bundle the component's name).
  static Result<std::shared_ptr<Workflow>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                                std::string_view name);
  virtual ~Workflow() = default;

  virtual uint32_t passes_left() const = 0;
  virtual Status fit_batch(const Batch& batch) = 0;  // caller checkpoints for the strong guarantee
  virtual Status merge(const Workflow& other) = 0;
  // The same graph in the same pass, without statistics: fit it apart, then merge() it. Merging either adds all of it
  // or fails and adds nothing, which makes fitting through a fork all-or-nothing.
  virtual Result<std::shared_ptr<Workflow>> fork() const = 0;
  virtual Status fit_finish() = 0;

  virtual const Schema& inputs() const = 0;
  virtual const Schema& outputs() const = 0;

  // A plan: which outputs are wanted, from which input columns. Made once (pipeline creation, stream start), then run
  // many times. Inputs are matched by name and type; fails naming the input that a wanted output lacks.
  class Plan {
   public:
    virtual ~Plan() = default;
    virtual const std::vector<std::string>& output_names() const = 0;
  };
  // Reusable memory of one run at a time.
  class Scratch {
   public:
    virtual ~Scratch() = default;
  };
  // `available`: names, types of what run() will be given, in that order. `wanted` empty = all outputs that can be
  // computed from what is available.
  virtual Result<std::unique_ptr<Plan>> plan(const std::vector<ColumnSchema>& available,
                                             const std::vector<std::string>& wanted) const = 0;
  virtual std::unique_ptr<Scratch> make_scratch() const = 0;
  // Columns of `in` in the plan's order; *out gets the wanted columns in order. After warm-up with the same scratch and
  // out, allocates nothing. `row_map`, when not null, receives for each output row its input row (Filter, Dropna).
  virtual Status run(const Plan& plan, const Batch& in, Scratch* scratch, Batch* out,
                     std::vector<int64_t>* row_map) const = 0;

  // One row through the same code; see gyr_workflow_transform_row and docs/workflow.md for the scratch layout.
  virtual Status run_row(const gyr_value* in, uint64_t n_in, gyr_value* out, uint64_t n_out, void* scratch,
                         uint64_t scratch_size) const = 0;
  // Output schema as JSON with each column's statistics.
  virtual Json describe() const = 0;
  virtual Status decode(std::string_view column, int64_t code, gyr_value* out) const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;
};

}  // namespace gyr
