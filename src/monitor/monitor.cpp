#include "monitor/monitor.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/number.h"

namespace gyr {
namespace {

constexpr size_t kMaxCounters = 256;

Json number_or_null(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

std::string reason(const std::string& what, double value, const char* sign, double threshold) {
  return what + " " + NumberText(value, 4).c_str() + " " + sign + " " + NumberText(threshold, 4).c_str();
}

}  // namespace

Result<std::shared_ptr<Monitor>> Monitor::create(std::shared_ptr<Runtime> runtime, std::string_view json) {
  GYR_ASSIGN(MonitorOptions options, parse_monitor_options(json));
  return std::make_shared<Monitor>(std::move(runtime), std::move(options));
}

Monitor::Monitor(std::shared_ptr<Runtime> runtime, MonitorOptions options)
    : runtime_(std::move(runtime)), options_(std::move(options)), labels_(options_.labels, runtime_->memory()) {}

Status Monitor::columns_of(const std::vector<Field>& fields, std::vector<int>* out) const {
  for (const FeatureSpec& spec : options_.features) {
    auto it = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == spec.name; });
    if (it == fields.end())
      return fail(GYR_E_INVALID_ARGUMENT, "monitor", "the stream has no column \"%.80s\", which features names",
                  spec.name.c_str());
    if (spec.numeric && it->dtype == GYR_DTYPE_STRING)
      return fail(GYR_E_INVALID_ARGUMENT, "monitor", "column \"%.80s\" holds strings; set its kind to categorical",
                  spec.name.c_str());
    out->push_back(int(it - fields.begin()));
  }
  return {};
}

Status Monitor::set_baseline(ArrowReader* reader) {
  std::vector<int> columns;
  GYR_TRY(columns_of(reader->fields(), &columns));
  std::vector<BaselineBuilder> builders;
  for (const FeatureSpec& spec : options_.features) builders.emplace_back(spec, runtime_->memory());
  Batch batch;
  int64_t rows = 0;
  for (bool end = false;;) {
    GYR_TRY(reader->next(&batch, &end));
    if (end) break;
    rows += batch.rows;
    for (size_t i = 0; i < columns.size(); i++) builders[i].add(batch.columns[size_t(columns[i])]);
  }
  if (rows == 0) return fail(GYR_E_INVALID_ARGUMENT, "monitor", "the baseline stream has no rows");
  auto baseline = std::make_shared<std::vector<DriftFeature>>();
  std::vector<std::vector<uint64_t>> live;
  for (BaselineBuilder& b : builders) {
    baseline->emplace_back(&b);
    live.emplace_back(baseline->back().bins());
  }
  std::lock_guard lock(mutex_);
  baseline_ = std::move(baseline);
  live_ = std::move(live);
  live_rows_ = 0;
  window_reported_ = false;
  return {};
}

Status Monitor::require_baseline() {
  std::lock_guard lock(mutex_);
  if (baseline_) return {};
  return fail(GYR_E_INVALID_STATE, "monitor", "there is no baseline; call gyr_monitor_set_baseline first");
}

Status Monitor::observe(ArrowReader* reader) {
  GYR_TRY(require_baseline());  // once there, it is only ever replaced
  std::shared_ptr<const std::vector<DriftFeature>> baseline;
  {
    std::lock_guard lock(mutex_);
    baseline = baseline_;
  }
  std::vector<int> columns;
  GYR_TRY(columns_of(reader->fields(), &columns));
  std::vector<std::vector<uint64_t>> counts;
  for (const DriftFeature& f : *baseline) counts.emplace_back(f.bins());
  Batch batch;
  uint64_t rows = 0;
  for (bool end = false;;) {
    GYR_TRY(reader->next(&batch, &end));
    if (end) break;
    rows += uint64_t(batch.rows);
    for (size_t i = 0; i < columns.size(); i++) (*baseline)[i].count(batch.columns[size_t(columns[i])], &counts[i]);
  }
  std::lock_guard lock(mutex_);
  if (baseline != baseline_)
    return fail(GYR_E_INVALID_STATE, "monitor", "the baseline was replaced meanwhile; observe these rows again");
  if (rows == 0) return {};
  if (window_reported_) {
    for (auto& bins : live_) std::fill(bins.begin(), bins.end(), 0);
    live_rows_ = 0;
    window_reported_ = false;
  }
  for (size_t i = 0; i < counts.size(); i++)
    for (size_t k = 0; k < counts[i].size(); k++) live_[i][k] += counts[i][k];
  live_rows_ += rows;
  return {};
}

Status Monitor::served(uint64_t request, const int64_t* items, const float* scores, uint64_t n, int64_t time_us) {
  std::lock_guard lock(mutex_);
  return labels_.served(request, items, scores, n, time_us);
}

Status Monitor::label(uint64_t request, int64_t item, uint32_t label, int64_t time_us) {
  std::lock_guard lock(mutex_);
  return labels_.label(request, item, label, time_us);
}

Status Monitor::count(std::string_view name, uint64_t delta) {
  bool ok = !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  });
  if (!ok) return fail(GYR_E_INVALID_ARGUMENT, "monitor", "name: expected 1..63 characters of a-z 0-9 _ :");
  std::lock_guard lock(mutex_);
  auto it = counters_.find(name);
  if (it == counters_.end()) {
    if (counters_.size() >= kMaxCounters)
      return fail(GYR_E_RESOURCE_EXHAUSTED, "monitor", "there are %zu counters already; reuse names", kMaxCounters);
    it = counters_.emplace(name, 0).first;
  }
  if (__builtin_add_overflow(it->second, delta, &it->second)) it->second = UINT64_MAX;
  return {};
}

Json Monitor::drift_report(std::vector<std::string>* why) const {
  Json features = Json::array();
  for (size_t i = 0; baseline_ && live_rows_ > 0 && i < baseline_->size(); i++) {
    const DriftFeature& f = (*baseline_)[i];
    double psi = population_stability(f.baseline, live_[i]), js = jensen_shannon(f.baseline, live_[i]);
    Json j;
    j["name"] = f.spec.name;
    j["kind"] = f.spec.numeric ? "numeric" : "categorical";
    j["psi"] = psi;
    j["js"] = js;
    j["baseline"] = f.baseline;
    j["live"] = live_[i];
    features.push_back(std::move(j));
    if (live_rows_ < uint64_t(options_.min_rows)) continue;
    if (options_.psi && psi > *options_.psi) why->push_back(reason("psi of " + f.spec.name, psi, ">", *options_.psi));
    if (options_.js && js > *options_.js) why->push_back(reason("js of " + f.spec.name, js, ">", *options_.js));
  }
  return Json{{"rows", live_rows_}, {"features", std::move(features)}};
}

Status Monitor::report(int64_t now_us, const Sink& sink) {
  std::lock_guard lock(mutex_);
  labels_.close(now_us);
  std::vector<std::string> why;
  Json j;
  j["now_us"] = now_us;
  j["drift"] = drift_report(&why);
  double auc, hit_rate = labels_.hit_rate();
  bool fresh;
  GYR_TRY(labels_.auc(&auc, &fresh));
  bool auc_low = fresh && options_.auc && auc < *options_.auc;
  if (auc_low) why.push_back(reason("auc", auc, "<", *options_.auc));
  // Like the AUC: only a window with strictly more than min_labels says anything.
  if (options_.hit_rate && labels_.requests() > uint64_t(options_.labels.min_labels) && hit_rate < *options_.hit_rate)
    why.push_back(reason("hit_rate", hit_rate, "<", *options_.hit_rate));
  j["auc"] = number_or_null(auc);
  j["auc_samples"] = labels_.samples();
  j["hit_rate"] = number_or_null(hit_rate);
  j["hit_rate_requests"] = labels_.requests();
  const LabelCounts& c = labels_.counts();
  j["labels"] = {{"served", c.served},
                 {"joined", c.joined},
                 {"assumed_negative", c.assumed_negative},
                 {"late", c.late},
                 {"unknown", c.unknown},
                 {"repeated", c.repeated},
                 {"dropped", c.dropped},
                 {"pending", labels_.pending_items()}};
  j["counters"] = Json::object();
  for (const auto& [name, value] : counters_) j["counters"][name] = value;
  j["retrain"] = {{"wanted", !why.empty()}, {"why", why}};
  bool delivered = false;
  GYR_TRY(sink(j.dump(), &delivered));
  if (!delivered) return {};
  window_reported_ = true;
  if (auc_low) labels_.clear_samples();
  return {};
}

}  // namespace gyr
