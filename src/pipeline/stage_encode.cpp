// encode: raw columns through the workflow (the same code that made the training data), and, on the user side, through
// the retrieval model's user tower.
#include <algorithm>

#include "pipeline/stage.h"

namespace gyr {
namespace {

struct Scratch : StageScratch {
  Batch in;
  std::unique_ptr<Workflow::Scratch> workflow;
  std::unique_ptr<Model::Scratch> model;
  std::vector<int64_t> row_map;
  std::vector<const Column*> columns;
};

class Encode : public Stage {
 public:
  std::shared_ptr<const Workflow> workflow;
  std::unique_ptr<Workflow::Plan> plan;
  std::vector<ColumnRef> plan_inputs;
  uint32_t slot = 0;
  bool item_side = false;
  std::shared_ptr<const Model> model;
  std::vector<ColumnRef> model_inputs;

  std::unique_ptr<StageScratch> make_scratch() const override {
    auto s = std::make_unique<Scratch>();
    if (workflow) s->workflow = workflow->make_scratch();
    if (model) s->model = model->make_scratch();
    s->in.columns.resize(plan_inputs.size());
    return s;
  }

  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<Scratch*>(scratch);
    if (workflow) GYR_TRY(transform(call, s));
    if (!model) return {};
    Workspace* w = call.workspace;
    s->columns.clear();
    for (ColumnRef r : model_inputs) s->columns.push_back(&w->slots[r.slot].columns[r.column]);
    w->queries.resize(call.users * model->dim());
    return model->encode(GYR_SIDE_USER, s->columns, int64_t(call.users), s->model.get(), w->queries.data());
  }

 private:
  Status transform(const Call& call, Scratch* s) const {
    Workspace* w = call.workspace;
    int64_t rows = item_side ? int64_t(w->ids.size()) : int64_t(call.users);
    // The plan wants its inputs side by side; swapping columns in and out moves no data.
    for (size_t i = 0; i < plan_inputs.size(); i++) {
      ColumnRef r = plan_inputs[i];
      std::swap(s->in.columns[i], w->slots[r.slot].columns[r.column]);
    }
    s->in.rows = rows;
    Batch& out = w->slots[slot];
    Status status = workflow->run(*plan, s->in, s->workflow.get(), &out, &s->row_map);
    for (size_t i = 0; i < plan_inputs.size(); i++) {
      ColumnRef r = plan_inputs[i];
      std::swap(s->in.columns[i], w->slots[r.slot].columns[r.column]);
    }
    GYR_TRY(std::move(status));
    if (out.rows == rows) return {};
    if (!item_side)
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "stage encode: the workflow's Filter or Dropna removed a user");
    return drop(w, s->row_map, &out);
  }

  // The workflow removed candidates: the other item slots follow, the encoded slot is short already.
  static Status drop(Workspace* w, const std::vector<int64_t>& kept, Batch* out) {
    w->keep.assign(w->ids.size(), 0);
    for (int64_t row : kept) w->keep[size_t(row)] = 1;
    int64_t rows = out->rows;
    out->rows = -1;
    compact(w);
    out->rows = rows;
    return {};
  }
};

Status bind_workflow(SpecReader* spec, const std::string& name, const std::vector<std::string>& extra, Encode* stage,
                     Binder* b) {
  GYR_ASSIGN(stage->workflow, find_component(b->components->workflows, name, "workflow", spec->path("workflow")));
  if (stage->workflow->passes_left() > 0) return spec->error("workflow", "is not fitted");
  Scope& scope = stage->item_side ? b->item : b->user;
  std::vector<std::string> wanted;
  std::vector<std::string> sources;
  for (const ColumnSchema& out : stage->workflow->outputs().columns) {
    bool asked = std::find(extra.begin(), extra.end(), out.name) != extra.end();
    if (!asked && std::find(b->needed.begin(), b->needed.end(), out.name) == b->needed.end()) continue;
    bool possible = std::all_of(out.sources.begin(), out.sources.end(),
                                [&](const std::string& source) { return scope.find(source) >= 0; });
    if (!possible) {
      if (!asked) continue;
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s: \"%s\" needs columns this side does not have (it has: %s)",
                  spec->path("outputs").c_str(), out.name.c_str(), scope.names().c_str());
    }
    wanted.push_back(out.name);
    for (const std::string& source : out.sources)
      if (std::find(sources.begin(), sources.end(), source) == sources.end()) sources.push_back(source);
  }
  if (wanted.empty())
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                "%s: none of the workflow's outputs is used by a model and can be "
                "computed from: %s",
                spec->path("workflow").c_str(), scope.names().c_str());
  std::vector<ColumnSchema> available;
  for (const std::string& source : sources) {
    int at = scope.find(source);
    available.push_back(scope.schemas[size_t(at)]);
    stage->plan_inputs.push_back(scope.refs[size_t(at)]);
  }
  auto plan = stage->workflow->plan(available, wanted);
  if (!plan.ok()) return std::move(plan.status()).at(spec->path("workflow").c_str());
  stage->plan = std::move(*plan);
  stage->slot = b->add_slot(stage->item_side);
  const auto& names = stage->plan->output_names();
  for (size_t i = 0; i < names.size(); i++)
    scope.add(*stage->workflow->outputs().find(names[i]), stage->slot, uint32_t(i));
  return {};
}

Status bind_model(SpecReader* spec, const std::string& name, Encode* stage, Binder* b) {
  GYR_ASSIGN(stage->model, find_component(b->components->models, name, "model", spec->path("model")));
  if (stage->item_side) return spec->error("model", "only users are embedded while serving; items are in the index");
  if (stage->model->dim() == 0) return spec->error("model", "this kind of model has no user tower");
  GYR_TRY(bind_model_inputs(spec, stage->model->encode_inputs(GYR_SIDE_USER), b->user, "user", &stage->model_inputs));
  b->query_dim = stage->model->dim();
  return {};
}

}  // namespace

BoundStage bind_encode(SpecReader* spec, Binder* b) {
  auto stage = std::make_unique<Encode>();
  int side = 0;
  std::string workflow, model;
  std::vector<std::string> outputs;
  GYR_TRY(spec->choice("side", {"user", "item"}, &side));
  GYR_TRY(spec->string("workflow", &workflow));
  GYR_TRY(spec->string("model", &model));
  GYR_TRY(spec->strings("outputs", &outputs));
  if (workflow.empty() && model.empty()) return spec->error("workflow", "a workflow, a model or both are required");
  stage->item_side = side == 1;
  stage->name = side ? "encode:item" : "encode:user";
  if (side && !b->retrieved) return spec->error("side", "\"item\" needs a retrieve stage before it");
  if (!workflow.empty()) GYR_TRY(bind_workflow(spec, workflow, outputs, stage.get(), b));
  if (!model.empty()) GYR_TRY(bind_model(spec, model, stage.get(), b));
  return BoundStage(std::move(stage));
}

}  // namespace gyr
