// ListSlice: a part of every list by Python's slice rules, optionally padded on the right.
#include <algorithm>

#include "workflow/elements.h"
#include "workflow/op.h"

namespace gyr::workflow {
namespace {

class ListSlice final : public Op {
 public:
  ListSlice(gyr_dtype dtype, int64_t start, int64_t end, int64_t width, int64_t i, double f, std::string s)
      : dtype_(dtype), start_(start), end_(end), width_(width), i_(i), f_(f), s_(std::move(s)) {}

  Status run(const Learned*, const Column& in, Column* out) const override {
    out->reset(dtype_, true);
    for (int64_t row = 0; row < in.rows(); row++) {
      int64_t begin = in.list_offsets[size_t(row)], n = in.list_offsets[size_t(row) + 1] - begin;
      int64_t a = start_ < 0 ? std::max<int64_t>(0, n + start_) : std::min(start_, n);
      int64_t b = end_ < 0 ? std::max<int64_t>(0, n + end_) : std::min(end_, n);
      for (int64_t k = a; k < b; k++) push(in, begin + k, out);
      for (int64_t k = std::max<int64_t>(0, b - a); k < width_; k++) pad(out);
      out->end_list();
    }
    return {};
  }

 private:
  void push(const Column& in, int64_t leaf, Column* out) const {
    if (!in.leaf_is_valid(leaf))
      out->push_null_leaf();
    else if (in.physical() == Physical::kInt)
      out->push_int(in.ints[size_t(leaf)]);
    else if (in.physical() == Physical::kFloat)
      out->push_float(in.floats[size_t(leaf)]);
    else
      out->push_string(in.string(leaf));
  }
  void pad(Column* out) const {
    if (out->physical() == Physical::kInt)
      out->push_int(i_);
    else if (out->physical() == Physical::kFloat)
      out->push_float(f_);
    else
      out->push_string(s_);
  }
  gyr_dtype dtype_;
  int64_t start_, end_, width_;  // end: INT64_MAX = to the end; width: 0 = no padding
  int64_t i_;
  double f_;
  std::string s_;
};

}  // namespace

Status make_list_slice(OpContext& c) {
  constexpr int64_t kMost = 1 << 20;
  int64_t start = 0, end = INT64_MAX, whole = 0;
  bool padded = false;
  GYR_TRY(c.spec->required_integer("start", -kMost, kMost, &start));
  bool has_end = c.spec->has("end");
  GYR_TRY(c.spec->integer("end", -kMost, kMost, &end));
  GYR_TRY(c.spec->boolean("pad", &padded));
  if (!has_end && start > 0) end = start, start = 0;  // NVTabular: one positive number means the first n
  int64_t width = 0;
  if (padded) {
    width = !has_end && start < 0 ? -start : start < 0 && end >= 0 ? -1 : end - start;
    if (!has_end && start == 0 && end == INT64_MAX) width = -1;
    if (width <= 0 || (start >= 0 && end < 0))
      return c.spec->error("pad", "start and end do not give a fixed length to pad to");
  }
  const Json* value = c.spec->value("pad_value");
  if (value && !padded) return c.spec->error("pad_value", "needs \"pad\": true");
  for (size_t i = 0; i < c.in->size(); i++) {
    const ColumnSchema& in = (*c.in)[i];
    double number = 0;
    std::string text;
    if (!in.is_list)
      return c.spec->error("columns", ("ListSlice needs lists, \"" + in.name + "\" is a scalar").c_str());
    Physical type = physical_of(in.dtype);
    if (type == Physical::kInt) GYR_TRY(c.spec->integer("pad_value", INT64_MIN, INT64_MAX, &whole));
    if (type == Physical::kFloat) GYR_TRY(c.spec->number("pad_value", -1e308, 1e308, &number));
    if (type == Physical::kString) GYR_TRY(c.spec->string("pad_value", &text));
    OpUnit& unit = c.units->emplace_back();
    unit.columns = {int(i)};
    unit.op = std::make_unique<ListSlice>(in.dtype, start, end, width, whole, number, text);
    unit.out = {in};
    unit.keeps_codes = true;
    unit.out[0].tags = add_tags(in.tags, kTagList);
  }
  return {};
}

}  // namespace gyr::workflow
