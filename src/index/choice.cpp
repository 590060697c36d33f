// What a search may return, and the scan of the codes of it.
#include <algorithm>

#include "base/knobs.h"
#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {

// What all queries of a search may return; under the gate.
void VectorIndex::choose(const Query& q, Choice* out) const {
  if (q.listed && !q.allowed_offsets) return choose_ids(q.allowed_ids, q, out);
  out->allowed = {&store_};
  out->few = {};
  const auto* selection = static_cast<const SlotSelection*>(q.selection);
  if (q.filter) out->allowed.narrow({q.filter, q.filter_bits});
  if (selection) {
    out->allowed.narrow({selection->words(), selection->slots()});
    out->few = selection->listed();
  }
  if (q.listed) return;  // each query counts its own
  out->eligible = selection && !q.filter ? selection->count() : out->allowed.count();
}

// The same, and of these ids.
void VectorIndex::choose_ids(std::span<const int64_t> ids, const Query& q, Choice* out) const {
  for (uint32_t slot : out->slots) out->bits[slot >> 6] = 0;  // of the choice before
  out->slots.clear();
  const size_t words = div_up(store_.ids.capacity(), 64);  // capacity: grows seldom, and a writer knows it beforehand
  if (out->bits.size() < words) out->bits.resize(words);
  out->slots.reserve(std::min<uint64_t>(ids.size(), store_.slots()));
  out->allowed = {&store_};
  if (q.filter) out->allowed.narrow({q.filter, q.filter_bits});
  if (const auto* s = static_cast<const SlotSelection*>(q.selection)) out->allowed.narrow({s->words(), s->slots()});
  for (int64_t id : ids) {
    const uint32_t slot = store_.find(id);
    if (slot == kNone || !out->allowed.unfiltered(slot)) continue;
    uint64_t& word = out->bits[slot >> 6];
    const uint64_t bit = uint64_t(1) << (slot & 63);
    if (word & bit) continue;
    word |= bit;
    out->slots.push_back(slot);
  }
  out->allowed = {&store_};  // the others hold for all that is left
  out->allowed.narrow({out->bits.data(), store_.slots()});
  out->eligible = out->slots.size();
  out->few = {};
  if (out->eligible * kListedShare < store_.slots()) out->few = {out->slots.data(), out->slots.size()};
}

// Scores the codes of what the lanes may return: a block of codes is read once for all of them.
Status VectorIndex::scan_codes_of(const Choice& choice, std::span<Lane*> lanes, SearchScratch* s,
                                  gyr_task* task) const {
  const bool l2 = store_.codes_l2();
  const uint32_t most = uint32_t(knobs::capacity(kBlock, 64));
  for (Lane* lane : lanes) {
    lane->scores.resize(std::max<size_t>(lane->scores.size(), kBlock));
    lane->dots.resize(std::max<size_t>(lane->dots.size(), kBlock));
  }
  uint32_t at[kBlock];
  Blocks blocks(choice.allowed, choice.few);
  uint64_t turn = 0;
  while (uint32_t n = blocks.next(at, most)) {
    if (turn++ % 64 == 0) GYR_TRY(check(task));
    s->codes += n * lanes.size();
    for (Lane* lane : lanes) {
      store_.codes->score(lane->walk.query, l2, at, n, lane->dots.data(), lane->scores.data());
      for (uint32_t i = 0; i < n; i++) {
        if (lane->scores[i] < lane->found.bar()) continue;
        if (lane->allowed.excluded && lane->allowed.excluded->has(at[i])) continue;
        lane->found.offer(lane->scores[i], at[i]);
      }
    }
  }
  return {};
}

Status VectorIndex::scan_codes(std::span<Lane*> lanes, SearchScratch* s, gyr_task* task) const {
  for (Lane* lane : lanes) lane->found.reset(lane->kept);
  if (lanes[0]->choice == &s->choice) return scan_codes_of(s->choice, lanes, s, task);
  for (Lane*& lane : lanes) GYR_TRY(scan_codes_of(*lane->choice, {&lane, 1}, s, task));
  return {};
}

void VectorIndex::tell(const Query& q, SearchScratch* s) const {
  for (Touched* t : {&touched_, q.touched}) {
    if (!t) continue;
    t->codes.fetch_add(s->codes, std::memory_order_relaxed);
    t->rows.fetch_add(s->rows, std::memory_order_relaxed);
  }
  s->codes = s->rows = 0;
}

}  // namespace gyr::index
