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
  if (n_maps == 0) return store->count();
  uint64_t n = 0, words = store->alive.size();
  for (uint32_t i = 0; i < n_maps; i++) words = std::min<uint64_t>(words, div_up(maps[i].bits, 64));
  for (uint64_t w = 0; w < words; w++) n += uint64_t(std::popcount(word(w)));
  return n;
}

uint32_t Blocks::next(uint32_t* at, uint32_t most) {
  uint32_t n = 0;
  if (!few_.empty()) {
    for (; next_ < few_.size() && n < most; next_++) {
      at[n] = few_[next_];
      n += few_[next_] < allowed_.store->slots() && allowed_.unfiltered(few_[next_]);  // slots go with their ids
    }
    return n;
  }
  const uint64_t words = allowed_.store->alive.size();
  for (; next_ < words && n + 64 <= most; next_++)
    for (uint64_t bits = allowed_.word(next_); bits; bits &= bits - 1)
      at[n++] = uint32_t(next_ * 64) + uint32_t(std::countr_zero(bits));
  return n;
}

Status scan(const Store& store, const VectorQuery& query, const Allowed& allowed, std::span<const uint32_t> few,
            TopK* top, const gyr_task* task) {
  float scores[4 * kBlock];
  uint32_t at[kBlock];
  const uint32_t block = uint32_t(knobs::capacity(kBlock, 64));  // whole words of the bitmap
  Blocks blocks(allowed, few);
  uint64_t turn = 0;
  while (uint32_t n = blocks.next(at, block)) {
    if (turn++ % 64 == 0) GYR_TRY(check(task));
    // Reading on is faster than jumping unless most rows are left out.
    const uint32_t first = at[0], reach = at[n - 1] - first + 1;
    const bool whole = few.empty() && reach <= 3 * n;
    if (whole)
      store.vectors.score(query, store.l2(), first, reach, scores);
    else
      store.vectors.score_at(query, store.l2(), at, n, scores);
    for (uint32_t i = 0; i < n; i++) {
      float score = scores[whole ? at[i] - first : i];
      if (!(score >= top->bar())) continue;
      if (allowed.excluded && allowed.excluded->has(at[i])) continue;
      top->offer(score, store.ids[at[i]]);
    }
  }
  return {};
}

}  // namespace gyr::index
