// Rows of an embedding cache in their stored types: unpacked to floats, or pooled without being unpacked anywhere.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/stored.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/stored-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

template <RowType kType>
HWY_INLINE void ask_ahead(const void* const* rows, size_t i, size_t n, size_t dim) {
  if (i + kRowsAhead < n && rows[i + kRowsAhead]) ask_for_row(rows[i + kRowsAhead], stored_row_bytes(kType, dim));
}

template <RowType kType>
HWY_INLINE void unpack(const void* const* rows, size_t n, size_t dim, const float* missing, float* out) {
  const D d;
  for (size_t r = 0; r < n; ++r, out += dim) {
    const auto* row = static_cast<const uint8_t*>(rows[r]);
    size_t i = 0;
    ask_ahead<kType>(rows, r, n, dim);
    if (row == nullptr) {
      for (; i < dim; ++i) out[i] = missing[i];
      continue;
    }
    const Scale s = scale_of<kType>(row, dim);
    const V scale = hn::Set(d, s.scale), bias = hn::Set(d, s.bias);
    for (; i + kLanes <= dim; i += kLanes, row += kLanes * kValueBytes<kType>) {
      hn::StoreU(scaled<kType>(load_values<kType>(row), scale, bias), d, out + i);
    }
    if (i < dim) store_tail(scaled<kType>(load_values_tail<kType>(row, dim - i), scale, bias), out + i, dim - i);
  }
}

// kVectors vectors of every row, summed; `rest` != 0: the last vector has only that many values.
template <RowType kType, int kVectors>
HWY_INLINE void pool_columns(const void* const* rows, const float* weight, size_t n, size_t dim, size_t first,
                             size_t rest, bool add, float* out) {
  const D d;
  V acc[kVectors];
  out += first;
  for (int v = 0; v < kVectors; ++v) {
    const float* from = out + v * kLanes;
    acc[v] = !add ? hn::Zero(d) : rest != 0 && v == kVectors - 1 ? load_tail(from, rest) : hn::LoadU(d, from);
  }
  for (size_t i = 0; i < n; ++i) {
    const auto* row = static_cast<const uint8_t*>(rows[i]);
    if (first == 0) ask_ahead<kType>(rows, i, n, dim);
    if (row == nullptr) continue;
    const Scale s = scale_of<kType>(row, dim);
    const float factor = weight != nullptr ? weight[i] : 1.0f;
    const V scale = hn::Set(d, factor * s.scale), bias = hn::Set(d, factor * s.bias);
    row += first * kValueBytes<kType>;
    for (int v = 0; v < kVectors; ++v) {
      const uint8_t* at = row + v * kLanes * kValueBytes<kType>;
      const V x = rest != 0 && v == kVectors - 1 ? load_values_tail<kType>(at, rest) : load_values<kType>(at);
      if constexpr (kType == RowType::kInt8) acc[v] = hn::Add(acc[v], bias);
      acc[v] = hn::MulAdd(scale, x, acc[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    if (rest != 0 && v == kVectors - 1) {
      store_tail(acc[v], out + v * kLanes, rest);
    } else {
      hn::StoreU(acc[v], d, out + v * kLanes);
    }
  }
}

template <RowType kType>
HWY_INLINE void pool(const void* const* rows, const float* weight, size_t n, size_t dim, bool add, float* out) {
  size_t i = 0;
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes) pool_columns<kType, 4>(rows, weight, n, dim, i, 0, add, out);
  for (; i + kLanes <= dim; i += kLanes) pool_columns<kType, 1>(rows, weight, n, dim, i, 0, add, out);
  if (i < dim) pool_columns<kType, 1>(rows, weight, n, dim, i, dim - i, add, out);
}

}  // namespace

void unpack_rows(RowType type, const void* const* rows, size_t n, size_t dim, const float* missing, float* out) {
  switch (type) {
    case RowType::kFloat32:
      return unpack<RowType::kFloat32>(rows, n, dim, missing, out);
    case RowType::kFloat16:
      return unpack<RowType::kFloat16>(rows, n, dim, missing, out);
    case RowType::kBfloat16:
      return unpack<RowType::kBfloat16>(rows, n, dim, missing, out);
    case RowType::kInt8:
      return unpack<RowType::kInt8>(rows, n, dim, missing, out);
  }
}

void pool_rows(RowType type, const void* const* rows, const float* weight, size_t n, size_t dim, bool add, float* out) {
  switch (type) {
    case RowType::kFloat32:
      return pool<RowType::kFloat32>(rows, weight, n, dim, add, out);
    case RowType::kFloat16:
      return pool<RowType::kFloat16>(rows, weight, n, dim, add, out);
    case RowType::kBfloat16:
      return pool<RowType::kBfloat16>(rows, weight, n, dim, add, out);
    case RowType::kInt8:
      return pool<RowType::kInt8>(rows, weight, n, dim, add, out);
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
