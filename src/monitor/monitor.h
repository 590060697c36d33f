// Drift, delayed labels and counters behind one lock; see include/gyr/monitor.h for the contract.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "data/arrow.h"
#include "exec/runtime.h"
#include "monitor/drift.h"
#include "monitor/labels.h"

namespace gyr {

struct MonitorOptions {
  std::vector<FeatureSpec> features;
  LabelOptions labels;
  int64_t min_rows = 100;                        // drift needs that many live rows to trigger
  std::optional<double> auc, hit_rate, psi, js;  // thresholds; none = never triggers
};
Result<MonitorOptions> parse_monitor_options(std::string_view json);

class Monitor {
 public:
  static Result<std::shared_ptr<Monitor>> create(std::shared_ptr<Runtime> runtime, std::string_view json);
  Monitor(std::shared_ptr<Runtime> runtime, MonitorOptions options);

  // Fails when there is no baseline to observe against: to be asked before the first call into a stream.
  Status require_baseline();
  // Both read to the end before anything changes; the caller accepts the stream afterwards.
  Status set_baseline(ArrowReader* reader);
  Status observe(ArrowReader* reader);
  Status served(uint64_t request, const int64_t* items, const float* scores, uint64_t n, int64_t time_us);
  Status label(uint64_t request, int64_t item, uint32_t label, int64_t time_us);
  Status count(std::string_view name, uint64_t delta);
  // `sink` says whether the text was delivered; asking for its size does not close a drift window or clear samples.
  using Sink = std::function<Status(std::string_view text, bool* delivered)>;
  Status report(int64_t now_us, const Sink& sink);

 private:
  Status columns_of(const std::vector<Field>& fields, std::vector<int>* out) const;
  Json drift_report(std::vector<std::string>* why) const;

  std::shared_ptr<Runtime> runtime_;
  const MonitorOptions options_;
  std::mutex mutex_;
  std::shared_ptr<const std::vector<DriftFeature>> baseline_;
  std::vector<std::vector<uint64_t>> live_;
  uint64_t live_rows_ = 0;
  bool window_reported_ = false;  // the next observed rows begin a new drift window
  LabelJoin labels_;
  std::map<std::string, uint64_t, std::less<>> counters_;
};

}  // namespace gyr
