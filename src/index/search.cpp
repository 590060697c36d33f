// How a query is answered: by the graph, or by a scan where that is cheaper or the graph falls short.
#include <algorithm>
#include <exception>

#include "base/knobs.h"
#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

// A walk scores some 16 rows per pool entry, each about three times the price of a row met in order: below this many
// rows per pool entry a scan is the faster way, and exact besides.
constexpr uint64_t kScanPerCandidate = 48;
constexpr uint64_t kAtOnce = 16;  // queries under one hold of the gate

// How many of the best by codes are scored by their vectors: more when codes leave a part of the vectors out, and then
// the more the better the answer is to be.
uint64_t reranked(const Codes& codes, uint32_t k, uint64_t effort) {
  return k + (codes.partial() ? std::max<uint64_t>(k, 10 + effort / 2) : std::max(k / 2, 10u));
}

}  // namespace

Status VectorIndex::check_queries(const Query& q) const {
  if (q.k < 1 || q.k > 65536) return fail(GYR_E_OUT_OF_RANGE, "index", "k is %u; expected 1..65536", q.k);
  if (q.effort > 1u << 20) return fail(GYR_E_OUT_OF_RANGE, "index", "effort is %u; expected 0..%u", q.effort, 1u << 20);
  return {};
}

// All of them before the first answer is written, so that a refused call leaves the caller's arrays alone.
Status VectorIndex::check_vectors(const Query& q, SearchScratch* s) const {
  Array<float>& row = s->lanes[0]->query;
  row.resize(store_.stride);
  for (uint64_t i = 0; q.n > 1 && i < q.n; i++) {
    const float* given = q.queries + i * store_.dim;
    if (!store_.prepare(given, row.data())) return store_.refuse(given, "queries", i);
  }
  return {};
}

// Scans, or starts a walk. Under the gate.
Status VectorIndex::begin(const Query& q, uint64_t number, Lane* lane, gyr_task* task, bool* walks) const {
  *walks = false;
  lane->number = number;
  lane->query.resize(store_.stride);
  const float* given = q.queries + number * store_.dim;
  if (!store_.prepare(given, lane->query.data())) return store_.refuse(given, "queries", number);
  store_.vectors.prepare(lane->query.data(), store_.l2(), &lane->kept_query);
  lane->top.reset(q.k);
  lane->allowed = {&store_, q.filter, q.filter_bits};
  uint64_t eligible = lane->allowed.count(), hidden = 0;
  if (q.excluded_offsets && q.excluded_offsets[number] < q.excluded_offsets[number + 1]) {
    lane->excluded.reset(store_);
    for (int64_t i = q.excluded_offsets[number]; i < q.excluded_offsets[number + 1]; i++) {
      uint32_t slot = store_.find(q.excluded[i]);
      if (slot != kNone && lane->excluded.add(slot)) hidden += lane->allowed.unfiltered(slot);
    }
    lane->allowed.excluded = &lane->excluded;
  }
  lane->wanted = std::min<uint64_t>(q.k, eligible - hidden);
  if (lane->wanted == 0) return {};
  // The pool grows with what it will hold in vain: slots that may not be returned.
  uint64_t effort = std::max<uint64_t>(q.k, q.effort ? q.effort : std::max<uint64_t>(2 * uint64_t(q.k), 64));
  effort = effort * store_.slots() / eligible + hidden;
  if (!graph_ || q.exact || eligible <= kScanPerCandidate * effort)
    return scan(store_, lane->kept_query, lane->allowed, &lane->top, task);
  *walks = true;
  lane->restricted = q.filter || hidden > 0;
  lane->most = reranked(*store_.codes, q.k, effort);
  if (lane->restricted) lane->found.reset(uint32_t(lane->most));
  store_.codes->prepare(lane->query.data(), &lane->walk.query);
  const uint32_t kept = lane->restricted ? 0 : uint32_t(lane->most * store_.slots() / eligible);
  graph_->start(store_.metric == GYR_METRIC_L2, uint32_t(effort), kept, &lane->walk);
  return {};
}

// The best by codes, scored by their vectors.
void VectorIndex::rerank(Lane* lane) const {
  lane->reranked.clear();
  const Walk& walk = lane->walk;
  if (lane->restricted) lane->found.each([&](const Hit& hit) { lane->reranked.push_back(uint32_t(hit.id)); });
  for (uint32_t i = 0; !lane->restricted && i < walk.n_pool && lane->reranked.size() < lane->most; i++) {
    const uint32_t slot = walk.pool[i].slot & ~Candidate::kExpanded;
    if (store_.is_alive(slot)) lane->reranked.push_back(slot);
  }
  lane->scores.resize(std::max<size_t>(lane->scores.size(), lane->most));
  store_.vectors.score_at(lane->kept_query, store_.l2(), lane->reranked.data(), lane->reranked.size(),
                          lane->scores.data());
  for (size_t i = 0; i < lane->reranked.size(); i++) lane->top.offer(lane->scores[i], store_.ids[lane->reranked[i]]);
}

Status VectorIndex::finish(const Query& q, Lane* lane, gyr_task* task, bool walked, const Out& out) const {
  if (walked) {
    rerank(lane);
    if (lane->top.size() < lane->wanted) {
      lane->top.reset(q.k);
      GYR_TRY(scan(store_, lane->kept_query, lane->allowed, &lane->top, task));
    }
  }
  lane->top.finish(out.ids + lane->number * q.k, out.scores + lane->number * q.k, out.counts + lane->number);
  return {};
}

// Queries [begin, end), several at a time: while one waits for memory, the others go on.
Status VectorIndex::search_some(const Query& q, uint64_t begin, uint64_t end, SearchScratch* s, gyr_task* task,
                                const Out& out) const {
  GYR_TRY(check(task));
  Lane* walking[SearchScratch::kLanes];
  uint32_t n = 0;
  std::shared_lock shared(gate_);
  Lane* idle[SearchScratch::kLanes];
  uint32_t n_idle = 0;
  for (auto& lane : s->lanes) idle[n_idle++] = &*lane;
  for (uint64_t next = begin; next < end || n > 0;) {
    while (next < end && n_idle > 0) {
      Lane* lane = idle[--n_idle];
      bool walks = false;
      GYR_TRY(this->begin(q, next++, lane, task, &walks));
      if (walks) {
        walking[n++] = lane;
        continue;
      }
      GYR_TRY(finish(q, lane, task, false, out));
      idle[n_idle++] = lane;
    }
    for (uint32_t i = 0; i < n; i++)
      graph_->settle(&walking[i]->allowed, walking[i]->restricted ? &walking[i]->found : nullptr, &walking[i]->walk);
    for (uint32_t i = 0; i < n;) {
      if (graph_->expand(&walking[i]->walk)) {
        i++;
        continue;
      }
      GYR_TRY(finish(q, walking[i], task, true, out));
      idle[n_idle++] = walking[i];
      walking[i] = walking[--n];
    }
  }
  return {};
}

Status VectorIndex::search(const Query& q, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                           uint32_t* out_counts) const {
  GYR_TRY(check_queries(q));
  const Out out{out_ids, out_scores, out_counts};
  std::unique_ptr<SearchScratch> own;
  if (!scratch) own = borrow();
  auto* s = scratch ? static_cast<SearchScratch*>(scratch) : own.get();
  GYR_TRY(check_vectors(q, s));
  if (!scratch && q.n > kAtOnce) {
    give_back(std::move(own));
    return search_many(q, task, out);
  }
  for (uint64_t i = 0; i < q.n; i += kAtOnce) GYR_TRY(search_some(q, i, std::min(i + kAtOnce, q.n), s, task, out));
  if (own) give_back(std::move(own));
  return {};
}

Status VectorIndex::search_many(const Query& q, gyr_task* task, const Out& out) const {
  const uint64_t per_item = knobs::capacity(kAtOnce);
  std::mutex mutex;
  Status failure;
  std::exception_ptr thrown;
  std::atomic<bool> stop{false};
  runtime_->parallel_for(div_up(q.n, per_item), [&](uint64_t chunk) {
    if (stop.load(std::memory_order_relaxed)) return;
    try {
      auto s = borrow();
      Status status = search_some(q, chunk * per_item, std::min(q.n, (chunk + 1) * per_item), s.get(), task, out);
      give_back(std::move(s));
      if (status.ok()) return;
      std::lock_guard lock(mutex);
      stop = true;
      if (failure.ok()) failure = std::move(status);
    } catch (...) {
      std::lock_guard lock(mutex);
      stop = true;
      thrown = std::current_exception();
    }
  });
  if (thrown) std::rethrow_exception(thrown);
  return failure;
}

std::unique_ptr<SearchScratch> VectorIndex::borrow() const {
  {
    std::lock_guard lock(idle_mutex_);
    if (!idle_.empty()) {
      auto s = std::move(idle_.back());
      idle_.pop_back();
      return s;
    }
  }
  return std::make_unique<SearchScratch>(runtime_);
}

void VectorIndex::give_back(std::unique_ptr<SearchScratch> s) const {
  std::lock_guard lock(idle_mutex_);
  idle_.push_back(std::move(s));
}

}  // namespace gyr::index
