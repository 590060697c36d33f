// filter: drops candidates the user has seen, or those an expression refuses.
#include <algorithm>

#include "pipeline/bound_expression.h"
#include "pipeline/seen.h"

namespace gyr {
namespace {

struct ExpressionScratch : StageScratch {
  BoundExpression::Scratch expression;
};

class FilterExpression : public Stage {
 public:
  BoundExpression expression;

  std::unique_ptr<StageScratch> make_scratch() const override {
    auto s = std::make_unique<ExpressionScratch>();
    s->expression = expression.make_scratch();
    return s;
  }
  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<ExpressionScratch*>(scratch);
    GYR_TRY(expression.run_condition(*call.workspace, &s->expression, &call.workspace->keep));
    compact(call.workspace);
    return {};
  }
};

struct FilterSeenScratch : StageScratch {
  SeenScratch seen;
  std::vector<int64_t> sorted;
};

class FilterSeen : public Stage {
 public:
  Seen seen;

  std::unique_ptr<StageScratch> make_scratch() const override { return std::make_unique<FilterSeenScratch>(); }
  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<FilterSeenScratch*>(scratch);
    Workspace* w = call.workspace;
    const int64_t *labels, *offsets;
    seen.labels(*w, &s->seen, &labels, &offsets);
    w->keep.resize(w->ids.size());
    for (uint64_t user = 0; user < call.users; user++) {
      s->sorted.assign(labels + offsets[user], labels + offsets[user + 1]);
      std::sort(s->sorted.begin(), s->sorted.end());
      for (int64_t c = w->begin[user]; c < w->begin[user + 1]; c++)
        w->keep[size_t(c)] = !std::binary_search(s->sorted.begin(), s->sorted.end(), w->ids[size_t(c)]);
    }
    compact(w);
    return {};
  }
};

// The search has left the seen items out already; the stage stays visible in traces.
class AppliedInRetrieve : public Stage {
 public:
  Status run(const Call&, StageScratch*) const override { return {}; }
};

}  // namespace

BoundStage bind_filter(SpecReader* spec, Binder* b, bool applied_in_retrieve) {
  std::string seen, text;
  GYR_TRY(spec->string("seen", &seen));
  GYR_TRY(spec->string("expr", &text));
  if (seen.empty() == text.empty()) return spec->error("expr", "exactly one of \"seen\" and \"expr\" is required");
  if (!b->retrieved) return spec->error("stage", "\"filter\" needs a retrieve stage before it");
  if (applied_in_retrieve) {
    auto stage = std::make_unique<AppliedInRetrieve>();
    stage->name = "filter:seen";
    return BoundStage(std::move(stage));
  }
  if (!seen.empty()) {
    auto stage = std::make_unique<FilterSeen>();
    stage->name = "filter:seen";
    GYR_TRY(stage->seen.bind(spec, "seen", seen, *b));
    return BoundStage(std::move(stage));
  }
  auto stage = std::make_unique<FilterExpression>();
  stage->name = "filter:expr";
  GYR_TRY(stage->expression.bind(spec, "expr", text, true, *b));
  return BoundStage(std::move(stage));
}

}  // namespace gyr
