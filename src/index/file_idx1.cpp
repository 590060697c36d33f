// Indexes of earlier builds: section "IDX1", whose vectors are copied and coded again.
#include "base/bytes.h"
#include "index/file_parts.h"
#include "index/vector_index.h"

namespace gyr::index {

Status VectorIndex::read_idx1(std::span<const uint8_t> bytes, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  ByteReader in(bytes, name);
  std::span<const int64_t> ids;
  std::span<const uint64_t> alive;
  GYR_TRY(in.get_array(&ids));
  GYR_TRY(in.get_array(&alive));
  uint64_t n = ids.size(), row_bytes = store_.vectors.file_bytes();
  if (n >= kMaxSlots || alive.size() != div_up(n, 64)) return corrupt("ids and alive bits do not fit together");
  if (n % 64 && alive.back() >> (n % 64)) return corrupt("an alive bit lies beyond the last slot");
  if (align_up(n * row_bytes, 8) > in.left()) return corrupt("vectors are cut off");
  const uint8_t* rows = bytes.data() + (bytes.size() - in.left());
  ByteReader rest(bytes.subspan(bytes.size() - in.left() + align_up(n * row_bytes, 8)), name);

  std::span<const uint32_t> links, pivots[2];
  if (graph_) {
    GYR_TRY(rest.get_array(&links));
    GYR_TRY(rest.get_array(&pivots[0]));
    GYR_TRY(rest.get_array(&pivots[1]));
    // Earlier files have no centre.
    if (rest.left() > 0 || store_.vectors.coded()) GYR_TRY(get_learnt(&rest, name, &*store_.codes));
  }
  if (Codes* own = store_.vectors.own_codes()) GYR_TRY(get_learnt(&rest, name, own));
  const auto read_tuned = [&]() -> Status {  // only where it was
    if (rest.left() == 0 || options_.kind == GYR_INDEX_EXACT) return rest.finish();
    uint64_t tuned = 0;
    GYR_TRY(rest.get(&tuned));
    const uint64_t k = tuned >> 32, effort = uint32_t(tuned);
    if (graph_ && rest.left() > 0) {
      uint64_t changes = 0;
      GYR_TRY(rest.get(&changes));
      if (changes > uint64_t(1) << 40) return corrupt("the number of changes is none");
      changes_ = changes;
      if (tuned == 0) return rest.finish();
    }
    if (k < 1 || k > kMostK || effort < k || effort > kMostEffort) return corrupt("the tuned effort is none");
    tuned_ = tuned;
    return rest.finish();
  };
  if (!lists_) GYR_TRY(read_tuned());

  store_.reserve(n);
  Array<float> scratch(store_.stride, 0, Aligned<float>(runtime_->memory()));
  Array<uint32_t> dead(Aligned<uint32_t>(runtime_->memory()));
  for (uint64_t i = 0; i < n; i++) {
    const uint32_t slot = store_.take_slot();
    store_.load_row(slot, rows + i * row_bytes);
    if (!plausible(store_.read(slot, scratch.data()), store_.dim, store_.metric, store_.stored))
      return corrupt("a vector is not finite, too long, or not normalised");
    if (!(alive[i / 64] >> (i % 64) & 1)) {
      if (ids[i] != 0) return corrupt("a dead slot has an id");
      dead.push_back(slot);
      continue;
    }
    if (store_.find(ids[i]) != kNone) return corrupt("an id occurs twice");
    store_.publish(slot, ids[i]);
  }
  for (uint32_t slot : dead) store_.give_back(slot);
  if (lists_) {
    GYR_TRY(lists_->read(&rest, runtime_.get(), name));
    options_.lists = lists_->wanted();
    return read_tuned();
  }
  if (!graph_) return {};

  if (links.size() != n * graph_->width) return corrupt("the number of links does not fit the slots");
  bool any_dead = false;
  for (uint64_t i = 0; i < links.size(); i++) {
    bool first = i % graph_->width == 0;
    if (links[i] == kNone) continue;
    if (links[i] < n && !store_.is_alive(links[i])) any_dead = true;
    if (links[i] >= n || links[i] == i / graph_->width) return corrupt("a link leads out of the index or to itself");
    if (!first && links[i - 1] == kNone) return corrupt("a node's links have a gap");
  }
  for (auto& p : pivots) {
    if (p.size() > Graph::kMostPivots) return corrupt("too many pivots");
    for (uint32_t slot : p)
      if (slot >= n)
        return corrupt("a pivot lies out of the index");
      else
        any_dead = any_dead || !store_.is_alive(slot);
  }
  if (any_dead && changes_ == 0) changes_ = 1;  // compaction counts on it
  if (store_.count() && pivots[1].empty()) return corrupt("the graph has no pivots");
  graph_->links.assign(links.begin(), links.end());
  graph_->top_pivots.assign(pivots[0].begin(), pivots[0].end());
  graph_->random_pivots.assign(pivots[1].begin(), pivots[1].end());
  return {};
}

}  // namespace gyr::index
