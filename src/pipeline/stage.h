// One step of the graph. bind_*() turns its JSON into a bound stage; run() works on the workspace.
#pragma once

#include <gyr/pipeline.h>

#include <memory>
#include <string>

#include "base/spec.h"
#include "exec/task.h"
#include "pipeline/binder.h"
#include "pipeline/workspace.h"

namespace gyr {

struct Call {
  const gyr_recommend_args* args;
  gyr_task* task;
  Workspace* workspace;
  uint64_t users;
  int64_t now_us;
  uint32_t k;  // room per user in the results
};

class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::unique_ptr<StageScratch> make_scratch() const { return nullptr; }
  virtual Status run(const Call& call, StageScratch* scratch) const = 0;
  std::string name;  // "retrieve", "filter:seen", ...
};

using BoundStage = Result<std::unique_ptr<Stage>>;
BoundStage bind_features(SpecReader* spec, Binder* binder);
BoundStage bind_encode(SpecReader* spec, Binder* binder);
// `seen` is the column of a "filter seen" stage that directly follows, or empty: it is applied inside the search, so
// that k candidates survive it.
BoundStage bind_retrieve(SpecReader* spec, Binder* binder, const std::string& seen);
BoundStage bind_filter(SpecReader* spec, Binder* binder, bool applied_in_retrieve);
BoundStage bind_score(SpecReader* spec, Binder* binder);
BoundStage bind_order(SpecReader* spec, Binder* binder);

}  // namespace gyr
