// Loops over the leaves of a column that the element-wise ops share.
#pragma once

#include <cmath>

#include "data/column.h"

namespace gyr::workflow {

// Gives *out the type, the rows and the nulls of `in`; the caller fills the leaves.
inline void shape_like(const Column& in, gyr_dtype dtype, Column* out) {
  out->reset(dtype, in.is_list);
  out->leaf_valid.assign(in.leaf_valid.begin(), in.leaf_valid.end());
  if (in.is_list) {
    out->list_offsets.assign(in.list_offsets.begin(), in.list_offsets.end());
    out->list_valid.assign(in.list_valid.begin(), in.list_valid.end());
  }
}

// NaN counts as null wherever a null matters.
inline bool leaf_is_null(const Column& c, int64_t i) {
  return !c.leaf_is_valid(i) || (c.physical() == Physical::kFloat && std::isnan(c.floats[size_t(i)]));
}

// out = f(x) as double for every leaf of a numeric column; nulls stay null, NaN stays NaN if f lets it.
template <class F>
void map_numbers(const Column& in, gyr_dtype dtype, Column* out, F f) {
  shape_like(in, dtype, out);
  size_t n = size_t(in.leaves());
  out->floats.resize(n);
  double* to = out->floats.data();
  if (in.physical() == Physical::kInt) {
    for (size_t i = 0; i < n; i++) to[i] = f(double(in.ints[i]));
  } else {
    for (size_t i = 0; i < n; i++) to[i] = f(in.floats[i]);
  }
  if (!in.leaf_valid.empty())
    for (size_t i = 0; i < n; i++)
      if (!in.leaf_valid[i]) to[i] = 0;
}

}  // namespace gyr::workflow
