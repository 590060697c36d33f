#include "base/spec.h"
#include "monitor/monitor.h"

namespace gyr {
namespace {

Status read_feature(const Json& json, const std::string& path, FeatureSpec* out) {
  SpecReader r(json, path, "monitor");
  int kind = -1;
  GYR_TRY(r.required_string("name", &out->name));
  GYR_TRY(r.choice("kind", {"numeric", "categorical"}, &kind));
  if (kind < 0) return r.error("kind", "is required (\"numeric\" or \"categorical\")");
  out->numeric = kind == 0;
  out->bins = out->numeric ? 10 : 100;
  GYR_TRY(r.integer("bins", out->numeric ? 2 : 1, out->numeric ? 1000 : 100000, &out->bins));
  return r.finish();
}

Status read_thresholds(const Json& json, MonitorOptions* out) {
  SpecReader r(json, "thresholds", "monitor");
  auto read = [&](const char* key, double max, std::optional<double>* to) -> Status {
    double v = 0;
    GYR_TRY(r.number(key, 0, max, &v));
    if (r.has(key)) *to = v;
    return {};
  };
  GYR_TRY(read("auc", 1, &out->auc));
  GYR_TRY(read("hit_rate", 1, &out->hit_rate));
  GYR_TRY(read("psi", 1e9, &out->psi));
  GYR_TRY(read("js", 1, &out->js));
  return r.finish();
}

}  // namespace

Result<MonitorOptions> parse_monitor_options(std::string_view text) {
  GYR_ASSIGN(Json json, parse_json(text, "monitor"));
  MonitorOptions o;
  SpecReader r(json, "", "monitor");
  int64_t delay_seconds = 86400;
  const Json *features = r.value("features"), *thresholds = r.value("thresholds");
  GYR_TRY(r.integer("window", 1, 1 << 24, &o.labels.window));
  o.labels.min_labels = o.labels.window / 2;
  GYR_TRY(r.integer("min_labels", 0, o.labels.window - 1, &o.labels.min_labels));
  GYR_TRY(r.integer("label_delay_seconds", 0, int64_t(10) * 366 * 86400, &delay_seconds));
  GYR_TRY(r.integer("pending_capacity", 1, int64_t(1) << 32, &o.labels.capacity));
  GYR_TRY(r.integer("min_rows", 1, INT64_MAX, &o.min_rows));
  GYR_TRY(r.finish());
  o.labels.delay_us = delay_seconds * 1000000;
  if (features && !features->is_array()) return r.error("features", "expected a list of objects");
  for (size_t i = 0; features && i < features->size(); i++) {
    FeatureSpec spec;
    std::string path = "features[" + std::to_string(i) + "]";
    GYR_TRY(read_feature((*features)[i], path, &spec));
    for (const FeatureSpec& f : o.features)
      if (f.name == spec.name)
        return fail(GYR_E_INVALID_ARGUMENT, "monitor", "%s.name: feature \"%.80s\" appears twice", path.c_str(),
                    spec.name.c_str());
    o.features.push_back(std::move(spec));
  }
  if (thresholds) GYR_TRY(read_thresholds(*thresholds, &o));
  return o;
}

}  // namespace gyr
