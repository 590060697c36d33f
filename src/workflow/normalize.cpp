// Normalize, NormalizeMinMax: scaling by statistics of the training data.
#include <algorithm>
#include <cmath>
#include <limits>

#include "workflow/elements.h"
#include "workflow/op.h"

namespace gyr::workflow {
namespace {

// Infinities have no mean and no range; skipping them silently would hide broken data.
Status not_finite(int64_t leaf) {
  return fail(GYR_E_INVALID_ARGUMENT, "workflow",
              "value %lld is infinite and cannot be fitted; put a Clip before this op or repair the data",
              (long long)leaf);
}

template <class F>
Status each_number(const Column& in, F f) {
  int64_t n = in.leaves();
  for (int64_t i = 0; i < n; i++) {
    if (leaf_is_null(in, i)) continue;
    double x = in.physical() == Physical::kInt ? double(in.ints[size_t(i)]) : in.floats[size_t(i)];
    if (std::isinf(x)) return not_finite(i);
    f(x);
  }
  return {};
}

struct Moments : Partial, Learned {
  uint64_t count = 0;
  double mean = 0, m2 = 0;
  // Chan, Golub, LeVeque 1979, with the mean written symmetrically so that the order of a merge leaves no trace.
  void add(const Moments& b) {
    if (b.count == 0) return;
    if (count == 0) {
      count = b.count, mean = b.mean, m2 = b.m2;
      return;
    }
    double na = double(count), nb = double(b.count), n = na + nb, d = b.mean - mean;
    m2 = (m2 + b.m2) + d * d * (na * nb / n);
    mean = mean == b.mean ? mean : (na * mean + nb * b.mean) / n;
    count += b.count;
  }
  // ddof 1; 1 when the values do not vary.
  double divisor() const {
    double std = count > 1 ? std::sqrt(m2 / double(count - 1)) : 0;
    return std > 0 ? std : 1;
  }
  void write(ByteWriter* out) const {
    out->put(count);
    out->put(mean);
    out->put(m2);
  }
  Status read(ByteReader* in) {
    GYR_TRY(in->get(&count));
    GYR_TRY(in->get(&mean));
    GYR_TRY(in->get(&m2));
    if (!std::isfinite(mean) || !std::isfinite(m2) || m2 < 0 || count >> 56)
      return fail(GYR_E_CORRUPT, "workflow", "Normalize: moments are not finite numbers");
    return {};
  }
  Json json() const {
    return {{"count", count}, {"mean", mean}, {"std", count > 1 ? std::sqrt(m2 / double(count - 1)) : 0.0}};
  }
};

struct Range : Partial, Learned {
  uint64_t count = 0;
  double min = std::numeric_limits<double>::infinity(), max = -min;
  void add(const Range& b) {
    count += b.count;
    min = std::min(min, b.min);
    max = std::max(max, b.max);
  }
  void write(ByteWriter* out) const {
    out->put(count);
    out->put(min);
    out->put(max);
  }
  Status read(ByteReader* in) {
    GYR_TRY(in->get(&count));
    GYR_TRY(in->get(&min));
    GYR_TRY(in->get(&max));
    bool empty = count == 0 && min == std::numeric_limits<double>::infinity() && max == -min;
    if ((!empty && (!std::isfinite(min) || !std::isfinite(max) || min > max)) || count >> 56)
      return fail(GYR_E_CORRUPT, "workflow", "NormalizeMinMax: the range is not made of finite numbers");
    return {};
  }
  Json json() const {
    if (count == 0) return {{"count", 0}};
    return {{"count", count}, {"min", min}, {"max", max}};
  }
};

// The learning half that both share.
template <class Stat>
class Scaler : public Op {
 public:
  bool learns() const override { return true; }
  std::unique_ptr<Partial> start(std::pmr::memory_resource*) const override { return std::make_unique<Stat>(); }
  void add(Partial* into, const Partial& other) const override {
    static_cast<Stat*>(into)->add(static_cast<const Stat&>(other));
  }
  Result<std::shared_ptr<const Learned>> finish(const Partial& partial, std::pmr::memory_resource*) const override {
    return std::shared_ptr<const Learned>(std::make_shared<Stat>(static_cast<const Stat&>(partial)));
  }
  void write(const Partial& p, ByteWriter* out) const override { static_cast<const Stat&>(p).write(out); }
  void write(const Learned& l, ByteWriter* out) const override { static_cast<const Stat&>(l).write(out); }
  Result<std::unique_ptr<Partial>> read_partial(ByteReader* in, std::pmr::memory_resource*) const override {
    auto made = std::make_unique<Stat>();
    GYR_TRY(made->read(in));
    return std::unique_ptr<Partial>(std::move(made));
  }
  Result<std::shared_ptr<const Learned>> read_learned(ByteReader* in, std::pmr::memory_resource*) const override {
    auto made = std::make_shared<Stat>();
    GYR_TRY(made->read(in));
    return std::shared_ptr<const Learned>(std::move(made));
  }
  Json statistics(const Learned& learned) const override { return static_cast<const Stat&>(learned).json(); }
};

class Normalize final : public Scaler<Moments> {
 public:
  Status run(const Learned* learned, const Column& in, Column* out) const override {
    const Moments& m = static_cast<const Moments&>(*learned);
    double mean = m.mean, divisor = m.divisor();
    map_numbers(in, GYR_DTYPE_FLOAT64, out, [=](double x) { return (x - mean) / divisor; });
    return {};
  }
  // Two sweeps over the batch (mean, then squares around it), then one merge.
  Status observe(const Column& in, Partial* to) const override {
    Moments batch;
    double sum = 0, m2 = 0;
    GYR_TRY(each_number(in, [&](double x) { sum += x, batch.count++; }));
    if (batch.count == 0) return {};
    batch.mean = sum / double(batch.count);
    GYR_TRY(each_number(in, [&](double x) { m2 += (x - batch.mean) * (x - batch.mean); }));
    batch.m2 = m2;
    Moments total = static_cast<Moments&>(*to);
    total.add(batch);
    if (!std::isfinite(total.mean) || !std::isfinite(total.m2))
      return fail(GYR_E_OUT_OF_RANGE, "workflow", "the values are too large: their variance overflows a double");
    static_cast<Moments&>(*to) = total;
    return {};
  }
  Status prepare(Partial* into, const Partial& other) const override {
    Moments total = static_cast<Moments&>(*into);
    total.add(static_cast<const Moments&>(other));
    if (!std::isfinite(total.mean) || !std::isfinite(total.m2))
      return fail(GYR_E_OUT_OF_RANGE, "workflow", "the values are too large: their variance overflows a double");
    return {};
  }
};

class NormalizeMinMax final : public Scaler<Range> {
 public:
  Status run(const Learned* learned, const Column& in, Column* out) const override {
    const Range& r = static_cast<const Range&>(*learned);
    double min = r.min, width = r.max - r.min;
    if (width > 0)
      map_numbers(in, GYR_DTYPE_FLOAT64, out, [=](double x) { return (x - min) / width; });
    else
      map_numbers(in, GYR_DTYPE_FLOAT64, out, [](double x) { return std::isnan(x) ? x : 0.0; });
    return {};
  }
  Status observe(const Column& in, Partial* to) const override {
    Range batch;
    GYR_TRY(each_number(in, [&](double x) {
      batch.count++;
      batch.min = std::min(batch.min, x);
      batch.max = std::max(batch.max, x);
    }));
    static_cast<Range&>(*to).add(batch);
    return {};
  }
};

template <class T>
Status make_scaler(OpContext& c, const char* name) {
  GYR_TRY(numeric_only(c, name));
  for (size_t i = 0; i < c.in->size(); i++) {
    OpUnit& unit = c.units->emplace_back();
    unit.op = std::make_unique<T>();
    unit.columns = {int(i)};
    unit.out = {derive((*c.in)[i], GYR_DTYPE_FLOAT64, kTagContinuous)};
  }
  return {};
}

}  // namespace

Status make_normalize(OpContext& c) { return make_scaler<Normalize>(c, "Normalize"); }
Status make_normalize_min_max(OpContext& c) { return make_scaler<NormalizeMinMax>(c, "NormalizeMinMax"); }

}  // namespace gyr::workflow
