#include "bundle/bundle.h"

#include <gyr/bundle.h>

#include "capi/guard.h"
#include "capi/handles.h"

namespace gyr {

// What a builder collects; written by Generation::save.
class BundleBuilder {
 public:
  Components components;
  Json pipeline, metadata;

  // One namespace for all kinds: the file's sections are named by component.
  Status check_name(const char* name) const {
    GYR_TRY(capi::require(name, "name"));
    std::string_view s = name;
    bool good = !s.empty() && s.size() <= 63 && s != "manifest";
    for (char c : s) good &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!good)
      return fail(GYR_E_INVALID_ARGUMENT, "bundle", "name \"%.80s\": expected 1..63 of [a-z0-9_], not \"manifest\"",
                  name);
    bool taken = components.workflows.contains(s) || components.tables.contains(s) || components.indexes.contains(s) ||
                 components.models.contains(s) || components.ids.contains(s);
    if (taken) return fail(GYR_E_ALREADY_EXISTS, "bundle", "a component named \"%s\" is in the bundle already", name);
    return {};
  }
};

namespace capi {
namespace {

template <class H, class Map>
Status add(gyr_bundle_builder* builder, const char* name, const H* handle, Map Components::*map, const char* what) {
  GYR_TRY(enter(builder, "builder"));
  GYR_TRY(enter(handle, what));
  GYR_TRY(builder->impl->check_name(name));
  (builder->impl->components.*map)[name] = handle->impl;
  return {};
}

template <class H, class Map>
Status get(const gyr_bundle* bundle, const char* name, H** out, Map Components::*map, const char* what) {
  GYR_TRY(enter(bundle, "bundle"));
  GYR_TRY(require(name, "name"));
  GYR_TRY(require(out, "out"));
  return bundle->impl->with_generation([&](const Generation& g) -> Status {
    auto it = (g.components.*map).find(name);
    if (it == (g.components.*map).end())
      return fail(GYR_E_NOT_FOUND, "bundle", "the serving generation has no %s named \"%.63s\"", what, name);
    auto impl = it->second;
    if constexpr (std::is_same_v<H, gyr_workflow>) {
      *out = make_handle<H>(bundle->runtime, std::const_pointer_cast<Workflow>(impl));
    } else {
      *out = make_handle<H>(bundle->runtime, impl);
    }
    return {};
  });
}

}  // namespace
}  // namespace capi
}  // namespace gyr

using namespace gyr;
using namespace gyr::capi;

extern "C" {

GYR_API gyr_status gyr_bundle_builder_create(gyr_runtime* runtime, gyr_bundle_builder** out, gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(out, "out"));
    *out = make_handle<gyr_bundle_builder>(runtime->runtime, std::make_shared<BundleBuilder>());
    return {};
  });
}

GYR_API gyr_status gyr_bundle_builder_add_workflow(gyr_bundle_builder* builder, const char* name,
                                                   const gyr_workflow* workflow, gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(builder, "builder"));
    GYR_TRY(enter(workflow, "workflow"));
    if (workflow->impl->passes_left())
      return fail(GYR_E_INVALID_STATE, "bundle", "the workflow is not fitted (%u passes left)",
                  workflow->impl->passes_left());
    return add(builder, name, workflow, &Components::workflows, "workflow");
  });
}

GYR_API gyr_status gyr_bundle_builder_add_table(gyr_bundle_builder* builder, const char* name, const gyr_table* table,
                                                gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return add(builder, name, table, &Components::tables, "table"); });
}

GYR_API gyr_status gyr_bundle_builder_add_index(gyr_bundle_builder* builder, const char* name, const gyr_index* index,
                                                gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return add(builder, name, index, &Components::indexes, "index"); });
}

GYR_API gyr_status gyr_bundle_builder_add_model(gyr_bundle_builder* builder, const char* name, const gyr_model* model,
                                                gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return add(builder, name, model, &Components::models, "model"); });
}

GYR_API gyr_status gyr_bundle_builder_add_ids(gyr_bundle_builder* builder, const char* name, const gyr_str* ids,
                                              uint64_t n, gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(builder, "builder"));
    GYR_TRY(builder->impl->check_name(name));
    GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    std::vector<std::string_view> views;
    for (uint64_t i = 0; i < n; i++) {
      GYR_TRY(require_array(ids[i].data, "ids: the data of one", ids[i].len, 1));
      views.emplace_back(ids[i].data ? ids[i].data : "", size_t(ids[i].len));
    }
    GYR_ASSIGN(std::shared_ptr<const IdList> list, IdList::create(views));
    builder->impl->components.ids[name] = std::move(list);
    return {};
  });
}

GYR_API gyr_status gyr_bundle_builder_set_pipeline(gyr_bundle_builder* builder, const char* json,
                                                   gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(builder, "builder"));
    GYR_TRY(require(json, "json"));
    GYR_ASSIGN(builder->impl->pipeline, parse_json(json, "pipeline"));
    return {};
  });
}

GYR_API gyr_status gyr_bundle_builder_set_metadata(gyr_bundle_builder* builder, const char* json,
                                                   gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(builder, "builder"));
    GYR_TRY(require(json, "json"));
    GYR_ASSIGN(Json parsed, parse_json(json, "bundle"));
    if (!parsed.is_object()) return fail(GYR_E_INVALID_ARGUMENT, "bundle", "metadata: expected a JSON object");
    builder->impl->metadata = std::move(parsed);
    return {};
  });
}

GYR_API gyr_status gyr_bundle_builder_save(const gyr_bundle_builder* builder, const char* path,
                                           gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(builder, "builder"));
    GYR_TRY(require(path, "path"));
    const BundleBuilder& b = *builder->impl;
    if (b.pipeline.is_null())
      return fail(GYR_E_INVALID_STATE, "bundle", "no pipeline yet; call gyr_bundle_builder_set_pipeline first");
    return Generation::save(b.components, b.pipeline, b.metadata, path);
  });
}

GYR_API void gyr_bundle_builder_destroy(gyr_bundle_builder* builder) noexcept { destroy(builder); }

GYR_API gyr_status gyr_bundle_open(gyr_runtime* runtime, const char* path, gyr_bundle** out, gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(path, "path"));
    GYR_TRY(require(out, "out"));
    GYR_ASSIGN(std::shared_ptr<Bundle> bundle, Bundle::open(runtime->runtime, path));
    *out = make_handle<gyr_bundle>(runtime->runtime, std::move(bundle));
    return {};
  });
}

GYR_API gyr_status gyr_bundle_publish(gyr_bundle* bundle, const char* path, uint32_t flags, uint64_t* generation,
                                      gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(bundle, "bundle"));
    GYR_TRY(require(path, "path"));
    return bundle->impl->publish(path, flags, generation);
  });
}

GYR_API gyr_status gyr_bundle_rollback(gyr_bundle* bundle, uint64_t* generation, gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(bundle, "bundle"));
    return bundle->impl->rollback(generation);
  });
}

GYR_API gyr_status gyr_bundle_table(const gyr_bundle* bundle, const char* name, gyr_table** out,
                                    gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return get(bundle, name, out, &Components::tables, "table"); });
}

GYR_API gyr_status gyr_bundle_index(const gyr_bundle* bundle, const char* name, gyr_index** out,
                                    gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return get(bundle, name, out, &Components::indexes, "index"); });
}

GYR_API gyr_status gyr_bundle_model(const gyr_bundle* bundle, const char* name, gyr_model** out,
                                    gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return get(bundle, name, out, &Components::models, "model"); });
}

GYR_API gyr_status gyr_bundle_workflow(const gyr_bundle* bundle, const char* name, gyr_workflow** out,
                                       gyr_error* err) noexcept {
  return guard(err, "bundle", [&] { return get(bundle, name, out, &Components::workflows, "workflow"); });
}

GYR_API gyr_status gyr_bundle_describe(const gyr_bundle* bundle, char* buffer, uint64_t capacity, uint64_t* size,
                                       gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(bundle, "bundle"));
    std::string text = bundle->impl->with_generation([](const Generation& g) { return g.describe().dump(1); });
    return write_text(text, buffer, capacity, size);
  });
}

GYR_API gyr_status gyr_bundle_metrics(const gyr_bundle* bundle, char* buffer, uint64_t capacity, uint64_t* size,
                                      gyr_error* err) noexcept {
  return guard(err, "bundle", [&]() -> Status {
    GYR_TRY(enter(bundle, "bundle"));
    return write_text(bundle->impl->metrics(), buffer, capacity, size);
  });
}

GYR_API void gyr_bundle_destroy(gyr_bundle* bundle) noexcept { destroy(bundle); }

}  // extern "C"
