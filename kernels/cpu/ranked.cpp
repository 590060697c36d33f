// Candidates kept in order: the pool of a graph walk.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/ranked.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

using D64 = hn::ScalableTag<int64_t>;
using D32 = hn::ScalableTag<int32_t>;
using V64 = hn::Vec<D64>;
constexpr size_t kLanes64 = HWY_LANES(int64_t);
// As many vectors as leave registers for the rest: 16 of AVX2's 16 would not.
constexpr size_t kMostVectors = HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM ? 16 : 8;
constexpr size_t kSmall = kRankedBlock / kLanes64 < kMostVectors ? kRankedBlock / kLanes64 : kMostVectors;
static_assert(kRankedBlock % (kSmall * kLanes64) == 0);

// Lane i becomes lane i + 1, the last one the first.
HWY_INLINE V64 rotated(V64 v) {
#if HWY_MAX_BYTES == 16
  return hn::Shuffle01(v);
#else
  HWY_ALIGN static constexpr int32_t kFrom[16] = {
      HWY_MAX_BYTES / 4 - 2, HWY_MAX_BYTES / 4 - 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
  return hn::BitCast(D64(), hn::TableLookupLanes(hn::BitCast(D32(), v), hn::SetTableIndices(D32(), kFrom)));
#endif
}

// With its neighbours known, every key finds its new place by itself: the larger of what stood there and the smaller
// of the new one and the one before. So a part of the list stays in registers for all new keys, and nothing depends
// on a guess. fallen [n]: what falls off the end for each key.
template <size_t kVectors, bool kLast>
HWY_INLINE void insert_part(int64_t* list, const int64_t* keys, size_t n, int64_t* fallen) {
  const D64 d;
  const V64 none_before = hn::Set(d, INT64_MAX);
  const auto first = hn::FirstN(d, 1);
  V64 v[kVectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < kVectors; ++i) v[i] = hn::LoadU(d, list + i * kLanes64);
  for (size_t k = 0; k < n; ++k) {
    const V64 key = hn::Set(d, keys[k]);
    V64 before = none_before;
#pragma GCC unroll 16
    for (size_t i = 0; i < kVectors; ++i) {
      const V64 turned = rotated(v[i]);
      v[i] = hn::Max(v[i], hn::Min(key, hn::IfThenElse(first, before, turned)));
      before = turned;
    }
    if constexpr (!kLast) {
      const int64_t last = hn::GetLane(before);
      fallen[k] = last < keys[k] ? last : keys[k];
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kVectors; ++i) hn::StoreU(v[i], d, list + i * kLanes64);
}

template <size_t kVectors>
HWY_INLINE void insert_part(int64_t* list, const int64_t* keys, size_t n, int64_t* fallen, bool last) {
  if (last) return insert_part<kVectors, true>(list, keys, n, fallen);
  insert_part<kVectors, false>(list, keys, n, fallen);
}

}  // namespace

void insert_ranked(int64_t* list, size_t most, const int64_t* keys, size_t n) {
  constexpr size_t kAtOnce = 64, kSmallPart = kSmall * kLanes64, kPart = kMostVectors * kLanes64;
  int64_t left[kAtOnce], better[kAtOnce];
  for (size_t done = 0; done < n; done += kAtOnce) {
    size_t n_left = n - done < kAtOnce ? n - done : kAtOnce;
    const int64_t* from = keys + done;
    for (size_t at = 0; at < most && n_left > 0;) {
      const bool large = kPart > kSmallPart && most - at > kPart - kSmallPart;
      const size_t part = large ? kPart : kSmallPart, end = at + part < most ? at + part : most;
      // Most of a list is better than most new keys: these go on to the next part without a look at this one.
      const int64_t bar = list[end - 1];
      size_t n_better = 0, on = 0;
      for (size_t i = 0; i < n_left; ++i) {
        const int64_t key = from[i];
        better[n_better] = left[on] = key;
        n_better += key > bar;
        on += key <= bar && key != INT64_MIN;
      }
      if (n_better > 0) {
        if (large) {
          insert_part<kMostVectors>(list + at, better, n_better, left + on, end == most);
        } else {
          insert_part<kSmall>(list + at, better, n_better, left + on, end == most);
        }
      }
      n_left = on + n_better;
      from = left;
      at = end;
    }
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
