#include "index/scan.h"

#include <cmath>

#include "base/knobs.h"
#include "base/math.h"

namespace gyr::index {

void TopK::finish(int64_t* ids, float* scores, uint32_t* count) {
  shrink();
  std::sort(hits_.begin(), hits_.end(), better);
  for (uint32_t i = 0; i < k_; i++) {
    ids[i] = i < hits_.size() ? hits_[i].id : -1;
    scores[i] = i < hits_.size() ? hits_[i].score : NAN;
  }
  *count = uint32_t(hits_.size());
}

uint64_t Allowed::count() const {
  if (!filter) return store->count;
  uint64_t n = 0, words = std::min<uint64_t>(store->alive.size(), div_up(filter_bits, 64));
  for (uint64_t w = 0; w < words; w++) n += uint64_t(std::popcount(word(w)));
  return n;
}

Status scan(const Store& store, const VectorQuery& query, const Allowed& allowed, TopK* top, const gyr_task* task) {
  float scores[kBlock];
  uint32_t at[kBlock];
  const uint32_t block = uint32_t(knobs::capacity(kBlock, 64));  // whole words of the bitmap
  for (uint32_t first = 0; first < store.slots(); first += block) {
    if (first % (block * 64) == 0) GYR_TRY(check(task));
    uint32_t n = std::min(block, store.slots() - first), picked = 0;
    for (uint32_t w = first / 64; w < div_up(first + n, 64); w++)
      for (uint64_t bits = allowed.word(w); bits; bits &= bits - 1)
        at[picked++] = w * 64 + uint32_t(std::countr_zero(bits));
    if (picked == 0) continue;
    // Reading on is faster than jumping unless most rows are left out.
    bool whole = picked * 3 >= n;
    if (whole)
      store.vectors.score(query, store.l2(), first, n, scores);
    else
      store.vectors.score_at(query, store.l2(), at, picked, scores);
    for (uint32_t i = 0; i < picked; i++) {
      float score = scores[whole ? at[i] - first : i];
      if (score < top->bar()) continue;
      if (allowed.excluded && allowed.excluded->has(at[i])) continue;
      top->offer(score, store.ids[at[i]]);
    }
  }
  return {};
}

}  // namespace gyr::index
