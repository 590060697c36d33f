// The serving graph, bound to the components of one generation. Immutable; run() is concurrent, each call with a
// workspace of its own. Stages run over the whole batch of users, column by column.
#pragma once

#include <gyr/pipeline.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exec/task.h"
#include "pipeline/components.h"
#include "pipeline/histogram.h"
#include "pipeline/workspace.h"

namespace gyr {

class Stage;

class Pipeline {
 public:
  // Parses the graph and binds every name in it. Keeps the components it uses alive.
  static Result<std::shared_ptr<const Pipeline>> create(std::string_view json, const Components& components);
  ~Pipeline();

  // Fills the out fields of args. NaN scores and id -1 stand beyond a user's count.
  Status run(gyr_recommend_args* args, Workspace* workspace, gyr_task* task) const;

  const std::vector<std::string>& stage_names() const { return stage_names_; }
  // Per-stage latency of every call so far; one more, the last, of whole calls.
  const std::vector<Histogram>& histograms() const { return histograms_; }

 private:
  Pipeline() = default;
  Status bind_stages(const Json& stages, const Components& components);
  Status bind_context(const Json* context);
  Status check_args(const gyr_recommend_args& args) const;
  void prepare(Workspace* workspace) const;
  Status fill_context(const gyr_recommend_args& args, Batch* out) const;
  Status fill_user_keys(const gyr_keys& users, Batch* out) const;
  Status run_stages(gyr_recommend_args* args, const struct Call& call) const;
  Status write_results(gyr_recommend_args* args, Workspace* workspace, uint32_t k) const;

  uint64_t id_ = 0;  // tells workspaces whose shape they have
  uint32_t slots_ = 0;
  std::vector<uint32_t> item_slots_;
  gyr_dtype user_key_dtype_ = GYR_DTYPE_INT64;
  std::vector<ColumnSchema> context_;
  std::shared_ptr<const IdList> item_ids_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::vector<std::string> stage_names_;
  mutable std::vector<Histogram> histograms_;
};

}  // namespace gyr
