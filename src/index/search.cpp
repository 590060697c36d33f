// How a query is answered: by the graph or the lists, or by a scan where that is cheaper or the graph falls short.
#include <algorithm>
#include <exception>

#include "base/knobs.h"
#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

// A walk scores some 16 rows per pool entry, each about three times the price of a row met in order: below this many
// rows per pool entry a scan is the faster way.
constexpr uint64_t kScanPerCandidate = 48;
// The same of codes, for walks under a filter, which are dearer. bench/compare.py index, the filter's cases.
constexpr uint64_t kCodesPerCandidate = 80;
constexpr uint64_t kAtOnce = 16;  // queries under one hold of the gate

// How many of the best by codes are scored by their vectors, and of those by whole codes a pool keeps at least: more
// when codes leave a part of the vectors out, and then the more the better the answer is to be.
uint64_t reranked(bool partial, uint32_t k, uint64_t effort) {
  return k + (partial ? std::max<uint64_t>(k, 10 + effort / 2) : std::max(k / 2, 10u));
}
// The same after a scan of codes, which costs so much that some more are nothing beside it, and to which no effort
// would make a difference otherwise.
uint64_t reranked_of_scan(bool partial, uint32_t k, uint64_t effort) {
  return std::max({reranked(partial, k, effort), k + std::max<uint64_t>(k, 30), effort});
}

// By so many standard deviations two scores of codes may have changed places; of codes that are the vectors none have.
float doubted(gyr_stored stored) { return stored == GYR_STORED_INT8 ? 0 : 4; }

}  // namespace

Status VectorIndex::check_queries(const Query& q) const {
  if (q.k < 1 || q.k > kMostK) return fail(GYR_E_OUT_OF_RANGE, "index", "k is %u; expected 1..%u", q.k, kMostK);
  if (q.effort > kMostEffort)
    return fail(GYR_E_OUT_OF_RANGE, "index", "effort is %u; expected 0..%u", q.effort, kMostEffort);
  return {};
}

// All of them before the first answer is written, so that a refused call leaves the caller's arrays alone.
Status VectorIndex::check_vectors(const Query& q) const {
  for (uint64_t i = 0; q.n > 1 && i < q.n; i++) {
    const float* given = q.queries + i * store_.dim;
    if (!store_.takes(given)) return store_.refuse(given, "queries", i);
  }
  return {};
}

// Scans vectors, or says how the query goes on. Under the gate.
Status VectorIndex::begin(const Query& q, uint64_t number, Lane* lane, gyr_task* task) const {
  lane->plan = Plan::kAnswered;
  lane->number = number;
  lane->query.resize(store_.stride);
  const float* given = q.queries + number * store_.dim;
  if (!store_.prepare(given, lane->query.data())) return store_.refuse(given, "queries", number);
  store_.vectors.prepare(lane->query.data(), store_.l2(), &lane->kept_query);
  lane->top.reset(q.k);
  if (q.listed && q.allowed_offsets) {
    const int64_t *from = q.allowed_offsets + number, many = from[1] - from[0];
    choose_ids(q.allowed_ids.subspan(size_t(from[0]), size_t(many)), q, &lane->own);
    lane->choice = &lane->own;
  }
  const uint64_t eligible = lane->choice->eligible;
  lane->allowed = lane->choice->allowed;
  uint64_t& hidden = lane->hidden = 0;
  if (q.excluded_offsets && q.excluded_offsets[number] < q.excluded_offsets[number + 1]) {
    lane->excluded.reset(store_);
    uint32_t slots[kHeld];
    const int64_t* end = q.excluded + q.excluded_offsets[number + 1];
    for (const int64_t* ids = q.excluded + q.excluded_offsets[number]; ids < end; ids += kHeld) {
      const uint64_t some = std::min<uint64_t>(kHeld, uint64_t(end - ids));
      store_.map.find_many(ids, some, store_.ids.data(), slots);
      for (uint64_t i = 0; i < some; i++)
        if (slots[i] != kNone && lane->excluded.add(slots[i])) hidden += lane->allowed.unfiltered(slots[i]);
    }
    lane->allowed.excluded = &lane->excluded;
  }
  lane->wanted = std::min<uint64_t>(q.k, eligible - hidden);
  if (lane->wanted == 0) return {};
  lane->restricted = lane->allowed.n_maps > 0 || hidden > 0;
  uint64_t effort = q.effort ? q.effort : default_effort(q.k);
  if (!lists_ && lane->restricted) effort = std::max<uint64_t>(effort, q.k);  // what a filter leaves may lie far apart
  // The pool grows with what it will hold in vain: slots that may not be returned.
  const uint64_t pool = effort * store_.slots() / eligible + hidden;
  if (lists_) return read_lists(q, effort, lane, task);
  const uint64_t kept = graph_ ? reranked_of_scan(store_.codes->partial(), q.k, effort) : 0;
  if (!graph_ || q.exact || eligible <= 2 * kept || (!lane->restricted && eligible <= kScanPerCandidate * pool))
    return scan(store_, lane->kept_query, lane->allowed, lane->choice->few, &lane->top, task);
  store_.codes->prepare(lane->query.data(), &lane->walk.query);
  lane->kept = uint32_t(kept);
  lane->plan = lane->restricted && eligible <= kCodesPerCandidate * pool ? Plan::kScanCodes : Plan::kWalk;
  if (lane->plan == Plan::kWalk) start(q.k, effort, pool, lane);
  return {};
}

Status VectorIndex::read_lists(const Query& q, uint64_t effort, Lane* lane, gyr_task* task) const {
  const uint64_t eligible = lane->choice->eligible;
  const uint64_t kept = lane->restricted ? reranked_of_scan(false, q.k, effort) : reranked(false, q.k, effort);
  if (q.exact || eligible <= 2 * kept || eligible <= kScanPerCandidate * (effort * store_.count() / eligible))
    return scan(store_, lane->kept_query, lane->allowed, lane->choice->few, &lane->top, task);
  lane->plan = Plan::kReadLists;
  lane->found.reset(uint32_t(kept));
  // What is left out for one query is near to it: as if its answers were asked for, too.
  lists_->search(lane->query.data(), effort + lane->hidden, lane->allowed, !lane->restricted, lane->wanted,
                 &lane->found, &lane->probe);
  return {};
}

void VectorIndex::start(uint32_t k, uint64_t effort, uint64_t pool, Lane* lane) const {
  const uint64_t eligible = lane->choice->eligible;
  const bool l2 = store_.codes_l2();
  lane->most = reranked(store_.codes->partial(), k, lane->restricted ? effort : pool);
  if (!lane->restricted)
    return graph_->start(l2, uint32_t(pool), uint32_t(lane->most * store_.slots() / eligible), &lane->walk);
  // What a filter leaves of a query's neighbourhood is more or less than its share of all: the walk goes on until it
  // has found enough, or has cost about as much as a scan.
  lane->best.reset(uint32_t(effort), uint32_t(lane->most));
  lane->budget = eligible / 3;
  graph_->start(l2, uint32_t(std::min<uint64_t>(store_.slots(), 2 * pool + 64)), 0, &lane->walk);
}

// Codes of whole vectors tell much better than those along axes which ones are worth a look at the vectors.
void VectorIndex::sieve(const Codes& whole, Lane* lane) const {
  const size_t k = lane->top.k(), n = lane->reranked.size();
  if (n <= k) return;
  lane->dots.resize(std::max(lane->dots.size(), n));
  whole.prepare(lane->query.data(), &lane->whole);
  whole.score(lane->whole, store_.codes_l2(), lane->reranked.data(), n, lane->dots.data(), lane->scores.data());
  lane->sieved.resize(n);
  for (size_t i = 0; i < n; i++)  // a damaged file's may be NaN, which has no order
    lane->sieved[i] = {std::isnan(lane->scores[i]) ? -INFINITY : lane->scores[i], lane->reranked[i]};
  const auto kth = lane->sieved.begin() + ptrdiff_t(k - 1);
  std::nth_element(lane->sieved.begin(), kth, lane->sieved.end(), [](const Candidate& a, const Candidate& b) {
    return a.score > b.score || (a.score == b.score && a.slot < b.slot);
  });
  const float bar =
      kth->score - doubted(store_.stored) * whole.doubt(lane->whole, store_.codes_l2(), kth->score, kth->slot);
  lane->reranked.clear();
  for (size_t i = 0; i < n; i++)
    if (i < k || lane->sieved[i].score >= bar) lane->reranked.push_back(lane->sieved[i].slot);
}

// The best of a walk that may be among the k best by their vectors. Codes of whole vectors tell how far they are off;
// by others it is so many.
void VectorIndex::take_in_doubt(const Ranked& found, Lane* lane) const {
  const uint32_t k = lane->top.k();
  const bool fixed = store_.codes->partial();
  const size_t least = fixed ? lane->most : k + std::max(k / 8, 2u);
  float bar = fixed ? INFINITY : -INFINITY;
  for (uint32_t i = 0; i < found.size(); i++) {
    const uint32_t slot = found.slot(i);
    if (!store_.is_alive(slot)) continue;
    const float score = found.score(i);
    if (lane->reranked.size() >= least && score < bar) break;
    lane->reranked.push_back(slot);
    if (!fixed && lane->reranked.size() == k)
      bar = score - doubted(store_.stored) * store_.codes->doubt(lane->walk.query, lane->walk.l2, score, slot);
  }
}

// The best by codes, scored by their vectors.
void VectorIndex::rerank(Lane* lane) const {
  lane->reranked.clear();
  if (lane->plan == Plan::kScanCodes || lane->plan == Plan::kReadLists) {
    lane->found.each([&](const Hit& hit) { lane->reranked.push_back(uint32_t(hit.id)); });
  } else {
    const Ranked& found = lane->restricted ? lane->best.all() : lane->walk.pool;
    lane->reranked.reserve(found.most());  // not what this query takes: the next one like it may take more
    lane->scores.reserve(found.most());
    lane->dots.reserve(found.most());
    lane->sieved.reserve(found.most());
    take_in_doubt(found, lane);
  }
  lane->scores.resize(std::max<size_t>(lane->scores.size(), lane->reranked.size()));
  if (graph_ && store_.codes->partial() && store_.vectors.own_codes()) sieve(*store_.vectors.own_codes(), lane);
  store_.vectors.score_at(lane->kept_query, store_.l2(), lane->reranked.data(), lane->reranked.size(),
                          lane->scores.data());
  for (size_t i = 0; i < lane->reranked.size(); i++) lane->top.offer(lane->scores[i], store_.ids[lane->reranked[i]]);
}

void VectorIndex::finish(const Query& q, Lane* lane, SearchScratch* s, const Out& out) const {
  if (lane->plan != Plan::kAnswered) {
    rerank(lane);
    s->rows += lane->reranked.size();
    if (lane->plan == Plan::kReadLists) s->codes += lane->probe.scored;
  }
  lane->top.finish(out.ids + lane->number * q.k, out.scores + lane->number * q.k, out.counts + lane->number);
}

// Whether a walk that has ended answers its query; if not, a scan of codes does.
bool VectorIndex::walked_enough(const Lane& lane) const {
  if (lane.restricted) return lane.walk.over && lane.best.all().size() >= lane.wanted;
  uint64_t alive = 0;
  for (uint32_t i = 0; i < lane.walk.pool.size() && alive < lane.wanted; i++)
    alive += store_.is_alive(lane.walk.pool.slot(i));
  return alive >= lane.wanted;
}

// A small effort may find less than is wanted where there is more.
bool VectorIndex::goes_on(Lane* lane) const {
  if (lane->restricted || lane->walk.pool.size() <= lane->walk.effort || walked_enough(*lane)) return false;
  lane->walk.effort = std::max(2 * lane->walk.effort, uint32_t(lane->walk.next) + 1);
  return true;
}

// Queries [begin, end), several at a time: while one waits for memory, the others go on.
Status VectorIndex::search_some(const Query& q, uint64_t begin, uint64_t end, SearchScratch* s, gyr_task* task,
                                const Out& out) const {
  GYR_TRY(check(task));
  Lane *idle[SearchScratch::kLanes], *walking[SearchScratch::kLanes], *scanning[SearchScratch::kLanes];
  uint32_t n_idle = 0, n = 0, n_scanning = 0;
  std::optional<Gate::Reader> reader(gate_);
  choose(q, &s->choice);
  // Ids that hold for all queries are looked up once: that may cost more than the queries.
  const bool gives_way = !q.listed || q.allowed_offsets;
  for (auto& lane : s->lanes) {
    lane->choice = &s->choice;
    idle[n_idle++] = &*lane;
  }
  for (uint64_t next = begin; next < end || n > 0 || n_scanning > 0;) {
    while (next < end && n_idle > 0) {
      const bool none = n == 0 && n_scanning == 0;
      if (gives_way && !none && gate_.wanted()) break;
      if (gives_way && none && reader->give_way()) choose(q, &s->choice);
      Lane* lane = idle[--n_idle];
      GYR_TRY(this->begin(q, next++, lane, task));
      if (lane->plan == Plan::kWalk) {
        walking[n++] = lane;
      } else if (lane->plan == Plan::kScanCodes) {
        scanning[n_scanning++] = lane;
      } else {
        finish(q, lane, s, out);
        idle[n_idle++] = lane;
      }
    }
    if (n_scanning > 0 && n == 0) {  // as many together as there can be
      GYR_TRY(scan_codes({scanning, n_scanning}, s, task));
      for (; n_scanning > 0; idle[n_idle++] = scanning[--n_scanning]) finish(q, scanning[n_scanning - 1], s, out);
    }
    for (uint32_t i = 0; i < n; i++)
      graph_->settle(&walking[i]->allowed, walking[i]->restricted ? &walking[i]->best : nullptr, &walking[i]->walk);
    for (uint32_t i = 0; i < n;) {
      Lane* lane = walking[i];
      const bool dear = lane->restricted && lane->walk.scored > lane->budget;
      if (!dear && (graph_->expand(&lane->walk) || (goes_on(lane) && graph_->expand(&lane->walk)))) {
        i++;
        continue;
      }
      walking[i] = walking[--n];
      s->codes += lane->walk.scored;
      if (walked_enough(*lane)) {
        finish(q, lane, s, out);
        idle[n_idle++] = lane;
      } else {
        lane->plan = Plan::kScanCodes;
        scanning[n_scanning++] = lane;
      }
    }
  }
  reader.reset();
  tell(q, s);
  return {};
}

Status VectorIndex::search(const Query& q, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                           uint32_t* out_counts) const {
  GYR_TRY(check_queries(q));
  if (q.selection && !static_cast<const SlotSelection*>(q.selection)->belongs_to(*selections_))
    return fail(GYR_E_INVALID_ARGUMENT, "index", "the filter was made of another index; make one of this index");
  const Out out{out_ids, out_scores, out_counts};
  GYR_TRY(check_vectors(q));
  if (!scratch && q.n > kAtOnce) return search_many(q, task, out);
  std::unique_ptr<SearchScratch> own;
  if (!scratch) own = borrow();
  auto* s = scratch ? static_cast<SearchScratch*>(scratch) : own.get();
  Status status;
  for (uint64_t i = 0; status.ok() && i < q.n; i += kAtOnce)
    status = search_some(q, i, std::min(i + kAtOnce, q.n), s, task, out);
  if (own) give_back(std::move(own));
  return status;
}

Status VectorIndex::search_many(const Query& q, gyr_task* task, const Out& out) const {
  if (q.listed && !q.allowed_offsets && !q.selection) {  // looked up once, not once per hold of the gate
    GYR_ASSIGN(auto chosen, select(q.allowed_ids, {}, nullptr));
    Query prepared = q;
    prepared.listed = false;
    prepared.selection = chosen.get();
    return search_many(prepared, task, out);
  }
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
