// Bucketize and HashBucket: codes without a vocabulary.
#include <algorithm>
#include <cmath>

#include "workflow/elements.h"
#include "workflow/key_counts.h"
#include "workflow/op.h"

namespace gyr::workflow {
namespace {

// Number of boundaries <= x (numpy.digitize, right=False).
class Bucketize final : public Op {
 public:
  explicit Bucketize(std::vector<double> bounds) : bounds_(std::move(bounds)) {
    // For integers the boundary is the smallest integer at or above it, compared exactly.
    for (double b : bounds_) {
      double up = std::ceil(b);
      if (up >= 0x1p63) break;  // no int64 reaches it
      int_bounds_.push_back(up < -0x1p63 ? INT64_MIN : int64_t(up));
    }
  }
  Status run(const Learned*, const Column& in, Column* out) const override {
    shape_like(in, GYR_DTYPE_INT32, out);
    size_t n = size_t(in.leaves());
    out->ints.resize(n);
    bool is_float = in.physical() == Physical::kFloat;
    for (size_t i = 0; i < n; i++)
      out->ints[i] = is_float
                         ? std::upper_bound(bounds_.begin(), bounds_.end(), in.floats[i]) - bounds_.begin()
                         : std::upper_bound(int_bounds_.begin(), int_bounds_.end(), in.ints[i]) - int_bounds_.begin();
    bool any = !out->leaf_valid.empty();
    for (size_t i = 0; i < n && (is_float || any); i++) {
      if (!leaf_is_null(in, int64_t(i))) continue;
      if (out->leaf_valid.empty()) out->leaf_valid.assign(n, 1);
      out->leaf_valid[i] = 0;
      out->ints[i] = 0;
    }
    return {};
  }

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> int_bounds_;
};

class HashBucket final : public Op {
 public:
  explicit HashBucket(int64_t buckets) : buckets_(uint64_t(buckets)) {}
  Status run(const Learned*, const Column& in, Column* out) const override {
    shape_like(in, GYR_DTYPE_INT32, out);
    size_t n = size_t(in.leaves());
    out->ints.resize(n);
    bool is_string = in.physical() == Physical::kString;
    for (size_t i = 0; i < n; i++) {
      uint64_t hash = is_string ? hash64(in.string(int64_t(i))) : hash64(in.ints[i]);
      out->ints[i] = in.leaf_is_valid(int64_t(i)) ? int64_t(hash % buckets_) : 0;
    }
    return {};
  }

 private:
  uint64_t buckets_;
};

Status read_bounds(const OpContext& c, const Json& list, std::vector<double>* out) {
  if (!list.is_array() || list.empty())
    return c.spec->error("boundaries", "expected a list of numbers, or {column: list}");
  for (const Json& v : list) {
    if (!v.is_number()) return c.spec->error("boundaries", "expected numbers");
    double d = v.number();
    if (!std::isfinite(d)) return c.spec->error("boundaries", "must be finite");
    if (!out->empty() && !(d > out->back())) return c.spec->error("boundaries", "must be strictly ascending");
    out->push_back(d);
  }
  return {};
}

}  // namespace

Status make_bucketize(OpContext& c) {
  GYR_TRY(numeric_only(c, "Bucketize"));
  const Json* spec = c.spec->value("boundaries");
  if (!spec) return c.spec->error("boundaries", "is required (a list of numbers, or {column: list})");
  size_t named = 0;
  for (size_t i = 0; i < c.in->size(); i++) {
    const ColumnSchema& in = (*c.in)[i];
    std::vector<double> bounds;
    if (spec->is_object()) {
      const Json* list = spec->find(in.name);
      if (!list) return c.spec->error("boundaries", ("lacks column \"" + in.name + "\"").c_str());
      GYR_TRY(read_bounds(c, *list, &bounds));
      named++;
    } else {
      GYR_TRY(read_bounds(c, *spec, &bounds));
    }
    OpUnit& unit = c.units->emplace_back();
    unit.columns = {int(i)};
    unit.out = {derive(in, GYR_DTYPE_INT32, kTagCategorical)};
    unit.out[0].cardinality = int64_t(bounds.size()) + 1;
    unit.op = std::make_unique<Bucketize>(std::move(bounds));
  }
  if (spec->is_object() && named != spec->size())
    return c.spec->error("boundaries", "names a column that is not among this op's columns");
  return {};
}

Status make_hash_bucket(OpContext& c) {
  if (!c.spec->has("num_buckets"))
    return c.spec->error("num_buckets", "is required (an integer, or {column: integer})");
  std::vector<int64_t> buckets;
  GYR_TRY(per_column(c, "num_buckets", 1, (int64_t(1) << 31) - 1, 0, &buckets));
  for (size_t i = 0; i < c.in->size(); i++) {
    const ColumnSchema& in = (*c.in)[i];
    if (buckets[i] == 0) return c.spec->error("num_buckets", ("lacks column \"" + in.name + "\"").c_str());
    if (physical_of(in.dtype) == Physical::kFloat)
      return c.spec->error("columns",
                           ("HashBucket needs ids, column \"" + in.name + "\" holds floats; use Bucketize").c_str());
    OpUnit& unit = c.units->emplace_back();
    unit.columns = {int(i)};
    unit.out = {derive(in, GYR_DTYPE_INT32, kTagCategorical)};
    unit.out[0].cardinality = buckets[i];
    unit.op = std::make_unique<HashBucket>(buckets[i]);
  }
  return {};
}

}  // namespace gyr::workflow
