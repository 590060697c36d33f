// score: the ranking model over each user's candidates.
#include "pipeline/stage.h"

namespace gyr {
namespace {

struct Scratch : StageScratch {
  std::unique_ptr<Model::Scratch> model;
  std::vector<const Column*> user, items;
  std::vector<float> scores;
};

class Score : public Stage {
 public:
  std::shared_ptr<const Model> model;
  std::vector<ColumnRef> user, items;

  std::unique_ptr<StageScratch> make_scratch() const override {
    auto s = std::make_unique<Scratch>();
    s->model = model->make_scratch();
    return s;
  }

  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<Scratch*>(scratch);
    Workspace* w = call.workspace;
    resolve(*w, user, &s->user);
    resolve(*w, items, &s->items);
    s->scores.resize(w->ids.size());
    for (uint64_t u = 0; u < call.users; u++) {
      int64_t first = w->begin[u], n = w->begin[u + 1] - first;
      if (n == 0) continue;
      GYR_TRY(check(call.task));
      GYR_TRY(model->score(s->user, int64_t(u), s->items, first, n, s->model.get(), s->scores.data() + first));
    }
    Column& out = w->slots[kSlotScores].columns[kScore];
    out.reset(GYR_DTYPE_FLOAT32, false);
    out.floats.assign(s->scores.begin(), s->scores.end());
    return {};
  }

 private:
  static void resolve(const Workspace& w, const std::vector<ColumnRef>& refs, std::vector<const Column*>* out) {
    out->clear();
    for (ColumnRef r : refs) out->push_back(&w.slots[r.slot].columns[r.column]);
  }
};

}  // namespace

BoundStage bind_score(SpecReader* spec, Binder* b) {
  auto stage = std::make_unique<Score>();
  stage->name = "score";
  std::string model;
  GYR_TRY(spec->required_string("model", &model));
  GYR_ASSIGN(stage->model, find_component(b->components->models, model, "model", spec->path("model")));
  if (!b->retrieved) return spec->error("stage", "\"score\" needs a retrieve stage before it");
  if (b->scored) return spec->error("stage", "only one score stage is supported");
  GYR_TRY(bind_model_inputs(spec, stage->model->score_user_inputs(), b->user, "user", &stage->user));
  GYR_TRY(bind_model_inputs(spec, stage->model->score_item_inputs(), b->item, "item", &stage->items));
  b->scored = true;
  b->item.add({"score", GYR_DTYPE_FLOAT32}, kSlotScores, kScore);
  return BoundStage(std::move(stage));
}

}  // namespace gyr
