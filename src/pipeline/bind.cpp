// Creation: JSON to bound stages.
#include <atomic>

#include "base/spec.h"
#include "pipeline/pipeline.h"
#include "pipeline/stage.h"

namespace gyr {
namespace {

constexpr size_t kMaxStages = 32;

// The text under a key, or null.
const std::string* text_at(const Json& object, const char* key) {
  const Json* v = object.find(key);
  return v && v->is_string() ? &v->string() : nullptr;
}

Result<std::string> stage_kind(const Json& stage, const std::string& path) {
  const std::string* kind = text_at(stage, "stage");
  if (!kind)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                "%s.stage: is required (features, encode, retrieve, filter, score "
                "or order)",
                path.c_str());
  return *kind;
}

// The seen column of a "filter seen" stage at position i, or empty.
std::string seen_at(const Json& stages, size_t i) {
  if (i >= stages.size()) return {};
  const std::string *kind = text_at(stages[i], "stage"), *seen = text_at(stages[i], "seen");
  return kind && *kind == "filter" && seen ? *seen : std::string();
}

void collect_needs(const Json& stages, const Components& components, std::vector<std::string>* out) {
  for (const Json& stage : stages) {
    const std::string* model = text_at(stage, "model");
    if (!model) continue;
    auto it = components.models.find(*model);
    if (it == components.models.end()) continue;
    for (const ModelInputs* inputs : {&it->second->encode_inputs(GYR_SIDE_USER), &it->second->score_user_inputs(),
                                      &it->second->score_item_inputs()})
      out->insert(out->end(), inputs->names.begin(), inputs->names.end());
  }
}

}  // namespace

Status bind_model_inputs(SpecReader* spec, const ModelInputs& inputs, const Scope& scope, const char* side,
                         std::vector<ColumnRef>* out) {
  std::string path = spec->path("model");
  for (size_t i = 0; i < inputs.names.size(); i++) {
    const char* name = inputs.names[i].c_str();
    int at = scope.find(name);
    if (at < 0)
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                  "%s: the model reads \"%s\", which the %s side does not have (it "
                  "has: %s)",
                  path.c_str(), name, side, scope.names().c_str());
    const ColumnSchema& have = scope.schemas[size_t(at)];
    if (have.dtype == GYR_DTYPE_STRING || have.cardinality != inputs.cardinalities[i])
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                  "%s: the model was trained with %lld codes of \"%s\" (0: a number), "
                  "here it is %s with %lld; add an encode stage with the model's workflow before this one",
                  path.c_str(), (long long)inputs.cardinalities[i], name, dtype_name(have.dtype),
                  (long long)have.cardinality);
    out->push_back(scope.refs[size_t(at)]);
  }
  return {};
}

Pipeline::~Pipeline() = default;

Result<std::shared_ptr<const Pipeline>> Pipeline::create(std::string_view text, const Components& components) {
  GYR_ASSIGN(Json json, parse_json(text, "pipeline"));
  SpecReader spec(json, "", "pipeline");
  GYR_TRY(spec.version(1));
  const Json* context = spec.value("context");
  const Json* stages = spec.value("stages");
  GYR_TRY(spec.finish());
  if (!stages || !stages->is_array() || stages->empty() || stages->size() > kMaxStages)
    return spec.error("stages", "is required (a list of 1..32 stages)");
  static std::atomic<uint64_t> next_id{1};
  std::shared_ptr<Pipeline> pipeline(new Pipeline);
  pipeline->id_ = next_id.fetch_add(1);
  GYR_TRY(pipeline->bind_context(context));
  GYR_TRY(pipeline->bind_stages(*stages, components));
  return std::shared_ptr<const Pipeline>(std::move(pipeline));
}

Status Pipeline::bind_context(const Json* context) {
  if (!context) return {};
  if (!context->is_array() || context->size() > 64)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "context: expected a list of at most 64 columns");
  for (size_t i = 0; i < context->size(); i++) {
    SpecReader spec((*context)[i], "context[" + std::to_string(i) + "]", "pipeline");
    ColumnSchema column;
    std::string dtype;
    GYR_TRY(spec.required_string("name", &column.name));
    GYR_TRY(spec.required_string("dtype", &dtype));
    GYR_TRY(spec.boolean("list", &column.is_list));
    GYR_TRY(spec.finish());
    if (!dtype_from_name(dtype, &column.dtype)) return spec.error("dtype", "is not a type gyr knows");
    column.tags = kTagContext;
    context_.push_back(std::move(column));
  }
  return {};
}

Status Pipeline::bind_stages(const Json& stages, const Components& components) {
  Binder binder;
  binder.components = &components;
  collect_needs(stages, components, &binder.needed);
  for (size_t i = 0; i < context_.size(); i++) binder.user.add(context_[i], kSlotContext, uint32_t(i));
  bool seen_applied = false;
  for (size_t i = 0; i < stages.size(); i++) {
    std::string path = "stages[" + std::to_string(i) + "]";
    if (binder.max_k)
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s: \"order\" must be the last stage", path.c_str());
    GYR_ASSIGN(std::string kind, stage_kind(stages[i], path));
    SpecReader spec(stages[i], path, "pipeline");
    spec.value("stage");
    auto bind_stage = [&]() -> BoundStage {
      if (kind == "features") return bind_features(&spec, &binder);
      if (kind == "encode") return bind_encode(&spec, &binder);
      if (kind == "retrieve") return bind_retrieve(&spec, &binder, seen_at(stages, i + 1));
      if (kind == "filter") return bind_filter(&spec, &binder, seen_applied);
      if (kind == "score") return bind_score(&spec, &binder);
      if (kind == "order") return bind_order(&spec, &binder);
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                  "%s.stage: unknown stage \"%.40s\"; there are features, encode, retrieve, filter, score and order",
                  path.c_str(), kind.c_str());
    };
    BoundStage bound = bind_stage();
    if (!bound.ok()) return std::move(bound.status());
    GYR_TRY(spec.finish());
    seen_applied = kind == "retrieve" && !seen_at(stages, i + 1).empty();
    stage_names_.push_back((*bound)->name);
    stages_.push_back(std::move(*bound));
  }
  if (!binder.max_k) return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "stages: the last stage must be \"order\"");
  if (binder.user_key_dtype == GYR_DTYPE_NONE)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "stages: a \"features\" stage for users is required");
  slots_ = binder.slots;
  item_slots_ = binder.item_slots;
  user_key_dtype_ = binder.user_key_dtype;
  item_ids_ = binder.item_ids;
  histograms_ = std::vector<Histogram>(stages_.size() + 1);
  return {};
}

}  // namespace gyr
