// FillMissing, Clip, LogOp: functions of one value without statistics.
#include <cmath>
#include <limits>

#include "workflow/elements.h"
#include "workflow/op.h"

namespace gyr::workflow {
namespace {

// Smallest integer >= d and largest <= d, saturated: compares int64 with a double bound exactly.
int64_t ceil_int(double d) {
  d = std::ceil(d);
  return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : int64_t(d);
}
int64_t floor_int(double d) {
  d = std::floor(d);
  return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : int64_t(d);
}

class FillMissing final : public Op {
 public:
  FillMissing(gyr_dtype dtype, int64_t i, double f, std::string s) : dtype_(dtype), i_(i), f_(f), s_(std::move(s)) {}

  Status run(const Learned*, const Column& in, Column* out) const override {
    shape_like(in, dtype_, out);
    out->leaf_valid.clear();
    int64_t n = in.leaves();
    if (in.physical() == Physical::kInt) {
      out->ints.assign(in.ints.begin(), in.ints.end());
      for (int64_t i = 0; i < n; i++)
        if (!in.leaf_is_valid(i)) out->ints[size_t(i)] = i_;
    } else if (in.physical() == Physical::kFloat) {
      out->floats.assign(in.floats.begin(), in.floats.end());
      for (int64_t i = 0; i < n; i++)
        if (leaf_is_null(in, i)) out->floats[size_t(i)] = f_;
    } else {
      for (int64_t i = 0; i < n; i++) out->push_string(in.leaf_is_valid(i) ? in.string(i) : std::string_view(s_));
    }
    return {};
  }

 private:
  gyr_dtype dtype_;
  int64_t i_;
  double f_;
  std::string s_;
};

// The companion column of add_binary_cols: 1 where a value was filled.
class WasMissing final : public Op {
 public:
  Status run(const Learned*, const Column& in, Column* out) const override {
    out->reset(GYR_DTYPE_BOOL, false);
    int64_t n = in.rows();
    out->ints.resize(size_t(n));
    for (int64_t i = 0; i < n; i++) out->ints[size_t(i)] = leaf_is_null(in, i);
    return {};
  }
};

class Clip final : public Op {
 public:
  Clip(gyr_dtype dtype, double min, double max) : dtype_(dtype), min_(min), max_(max) {}
  Status run(const Learned*, const Column& in, Column* out) const override {
    if (in.physical() == Physical::kFloat) {
      double min = min_, max = max_;
      map_numbers(in, dtype_, out, [=](double x) { return x < min ? min : x > max ? max : x; });
      return {};
    }
    shape_like(in, dtype_, out);
    int64_t min = ceil_int(min_), max = floor_int(max_);
    size_t n = in.ints.size();
    out->ints.resize(n);
    for (size_t i = 0; i < n; i++)
      out->ints[i] = !in.leaf_is_valid(int64_t(i)) ? 0 : in.ints[i] < min ? min : in.ints[i] > max ? max : in.ints[i];
    return {};
  }

 private:
  gyr_dtype dtype_;
  double min_, max_;
};

class Log final : public Op {
 public:
  Status run(const Learned*, const Column& in, Column* out) const override {
    map_numbers(in, GYR_DTYPE_FLOAT32, out, [](double x) { return double(float(std::log1p(double(float(x))))); });
    return {};
  }
};

}  // namespace

Status make_fill_missing(OpContext& c) {
  const Json* value = c.spec->value("value");
  bool flags = false;
  GYR_TRY(c.spec->boolean("add_binary_cols", &flags));
  for (size_t i = 0; i < c.in->size(); i++) {
    const ColumnSchema& in = (*c.in)[i];
    int64_t whole = 0;
    double number = 0;
    std::string text;
    Physical type = physical_of(in.dtype);
    if (type == Physical::kString) GYR_TRY(c.spec->required_string("value", &text));
    if (type == Physical::kInt) GYR_TRY(c.spec->integer("value", INT64_MIN, INT64_MAX, &whole));
    if (in.dtype == GYR_DTYPE_BOOL && (whole < 0 || whole > 1))
      return c.spec->error("value", "a bool column takes 0 or 1");
    if (type == Physical::kFloat && value)
      GYR_TRY(
          c.spec->number("value", -std::numeric_limits<double>::max(), std::numeric_limits<double>::max(), &number));
    OpUnit& unit = c.units->emplace_back();
    unit.op = std::make_unique<FillMissing>(in.dtype, whole, number, text);
    unit.columns = {int(i)};
    unit.out = {in};
    unit.keeps_codes = true;
    if (!flags) continue;
    if (in.is_list) return c.spec->error("add_binary_cols", "is for scalar columns, not for lists");
    OpUnit& flag = c.units->emplace_back();
    flag.op = std::make_unique<WasMissing>();
    flag.columns = {int(i)};
    flag.out = {derive(in, GYR_DTYPE_BOOL)};
    flag.out[0].tags &= kTagUser | kTagItem | kTagSession | kTagContext;
    flag.out[0].tags |= kTagCategorical | kTagBinary;
    flag.out[0].cardinality = 2;
    flag.out[0].name = in.name + "_filled";
    flag.extra = true;
  }
  return {};
}

Status make_clip(OpContext& c) {
  GYR_TRY(numeric_only(c, "Clip"));
  double inf = std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::max();
  double min = -inf, max = inf;
  GYR_TRY(c.spec->number("min_value", -most, most, &min));
  GYR_TRY(c.spec->number("max_value", -most, most, &max));
  if (min == -inf && max == inf) return c.spec->error("min_value", "Clip needs min_value, max_value or both");
  if (min > max) return c.spec->error("min_value", "is greater than max_value");
  for (size_t i = 0; i < c.in->size(); i++) {
    const ColumnSchema& in = (*c.in)[i];
    if (physical_of(in.dtype) == Physical::kInt && std::ceil(min) > std::floor(max))
      return c.spec->error("min_value", "no integer lies between min_value and max_value");
    OpUnit& unit = c.units->emplace_back();
    unit.columns = {int(i)};
    // A bound may lie outside a narrow integer type, so clipped integers are int64.
    gyr_dtype dtype =
        physical_of(in.dtype) == Physical::kInt && in.dtype != GYR_DTYPE_TIMESTAMP ? GYR_DTYPE_INT64 : in.dtype;
    unit.op = std::make_unique<Clip>(dtype, min, max);
    unit.out = {derive(in, dtype)};
  }
  return {};
}

Status make_log(OpContext& c) {
  GYR_TRY(numeric_only(c, "LogOp"));
  for (size_t i = 0; i < c.in->size(); i++) {
    OpUnit& unit = c.units->emplace_back();
    unit.op = std::make_unique<Log>();
    unit.columns = {int(i)};
    unit.out = {derive((*c.in)[i], GYR_DTYPE_FLOAT32, kTagContinuous)};
  }
  return {};
}

}  // namespace gyr::workflow
