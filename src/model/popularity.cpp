// popularity: how often each item occurs, plainly, over the last events, or with exponential forgetting.
#include <cmath>

#include "base/clock.h"
#include "model/history_model.h"

namespace gyr {
namespace {

class PopularityModel : public HistoryModel {
 public:
  PopularityModel(RuntimePtr runtime, InteractionSpec names, Floats counts)
      : HistoryModel(std::move(runtime), std::move(names)), counts_(std::move(counts)) {
    history_input_ = {};  // the same for everybody
  }
  const char* kind() const override { return "popularity"; }
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Scratch>(); }

  Status score(const std::vector<const Column*>&, int64_t, const std::vector<const Column*>& items, int64_t first,
               int64_t candidates, Scratch*, float* out) const override {
    for (int64_t i = 0; i < candidates; i++) {
      int64_t code = 0;
      GYR_TRY(candidate(*items[0], first + i, &code));
      out[i] = counts_[size_t(code)];
    }
    return {};
  }

  Json describe() const override {
    return {{"kind", kind()}, {"item", names_.item}, {"items", names_.items}, {"parameters", counts_.size()}};
  }
  Status save(ContainerWriter* file, std::string_view name) const override {
    ModelWriter w;
    w.header["kind"] = kind();
    names_.write(&w.header);
    w.array(counts_);
    return w.add_to(file, name);
  }

 protected:
  Status score_all(std::span<const int64_t>, Scratch*, float* scores) const override {
    for (size_t i = 0; i < counts_.size(); i++) scores[i] = counts_[i] > 0 ? counts_[i] : -INFINITY;
    return {};
  }

 private:
  Floats counts_;
};

class PopularityTrainer : public InteractionTrainer {
 public:
  PopularityTrainer(RuntimePtr runtime, InteractionSpec names, int64_t window, double half_life)
      : InteractionTrainer(std::move(runtime), std::move(names)), window_(window), half_life_(half_life) {}

  Status fit(gyr_task* task) override {
    GYR_TRY(require_rows());
    GYR_TRY(check(task));
    int64_t start = monotonic_ns();
    Floats counts(size_t(names_.items), 0.0f, runtime_->memory());
    std::pmr::vector<double> sums(size_t(names_.items), 0.0, runtime_->memory());
    size_t n = items_.size();
    size_t first = window_ && size_t(window_) < n ? n - size_t(window_) : 0;
    for (size_t i = first; i < n; i++)
      if (items_[i] >= names_.reserved)
        sums[items_[i]] += half_life_ > 0 ? std::exp2(-double(n - 1 - i) / half_life_) : 1.0;
    for (size_t i = 0; i < sums.size(); i++) counts[i] = float(sums[i]);
    record(1, 0.0, double(monotonic_ns() - start) * 1e-9);  // may throw; the rest does not
    counts_ = std::move(counts);
    fitted_rows_ = n;
    return {};
  }

  Result<std::shared_ptr<const Model>> export_model() const override {
    if (counts_.empty()) return fail(GYR_E_INVALID_STATE, "model", "the trainer is not fitted yet");
    return std::shared_ptr<const Model>(
        std::make_shared<PopularityModel>(runtime_, names_, Floats(counts_, runtime_->memory())));
  }

 private:
  int64_t window_;
  double half_life_;
  Floats counts_{runtime_->memory()};
};

}  // namespace

TrainerResult make_popularity(RuntimePtr runtime, SpecReader& spec, const Schema& schema) {
  InteractionSpec names;
  GYR_TRY(names.read(spec, schema, false));
  int64_t window = 0;
  double half_life = 0;
  if (const Json* recency = spec.value("recency")) {
    SpecReader r(*recency, spec.path("recency"), "model");
    GYR_TRY(r.integer("window_events", 1, INT64_MAX, &window));
    GYR_TRY(r.number("half_life_events", 1e-3, 1e18, &half_life));
    GYR_TRY(r.finish());
    if ((window > 0) == (half_life > 0))
      return spec.error("recency", "give exactly one of window_events and half_life_events");
  }
  GYR_TRY(spec.finish());
  return std::unique_ptr<Trainer>(
      std::make_unique<PopularityTrainer>(std::move(runtime), std::move(names), window, half_life));
}

ModelResult load_popularity(RuntimePtr runtime, ModelReader& file) {
  SpecReader header(file.header(), "", "model");
  InteractionSpec names;
  GYR_TRY(as_corrupt(names.read_header(header)));
  Floats counts(runtime->memory());
  GYR_TRY(file.floats("counts", uint64_t(names.items), &counts));
  return std::shared_ptr<const Model>(
      std::make_shared<PopularityModel>(std::move(runtime), std::move(names), std::move(counts)));
}

}  // namespace gyr
