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

}  // namespace

Status VectorIndex::check_queries(const Query& q) const {
  if (q.k < 1 || q.k > 65536) return fail(GYR_E_OUT_OF_RANGE, "index", "k is %u; expected 1..65536", q.k);
  if (q.effort > 1u << 20) return fail(GYR_E_OUT_OF_RANGE, "index", "effort is %u; expected 0..%u", q.effort, 1u << 20);
  return {};
}

// All of them before the first answer is written, so that a refused call leaves the caller's arrays alone.
Status VectorIndex::check_vectors(const Query& q, SearchScratch* s) const {
  s->query.resize(store_.stride);
  for (uint64_t i = 0; i < q.n && q.n > 1; i++) {
    const float* given = q.queries + i * store_.dim;
    if (!store_.prepare(given, s->query.data())) return store_.refuse(given, "queries", i);
  }
  return {};
}

Status VectorIndex::search_one(const Query& q, uint64_t number, SearchScratch* s, gyr_task* task, int64_t* out_ids,
                               float* out_scores, uint32_t* out_count) const {
  s->query.resize(store_.stride);
  const float* given = q.queries + number * store_.dim;
  if (!store_.prepare(given, s->query.data())) return store_.refuse(given, "queries", number);
  s->top.reset(q.k);

  std::shared_lock shared(gate_);
  Allowed allowed{&store_, q.filter, q.filter_bits};
  uint64_t eligible = allowed.count(), hidden = 0;
  if (q.excluded_offsets && q.excluded_offsets[number] < q.excluded_offsets[number + 1]) {
    s->excluded.reset(store_);
    for (int64_t i = q.excluded_offsets[number]; i < q.excluded_offsets[number + 1]; i++) {
      uint32_t slot = store_.map.find(q.excluded[i]);
      if (slot != kNone && s->excluded.add(slot)) hidden += allowed.unfiltered(slot);
    }
    allowed.excluded = &s->excluded;
  }
  uint64_t wanted = std::min<uint64_t>(q.k, eligible - hidden);
  if (wanted == 0) {
    s->top.finish(out_ids, out_scores, out_count);
    return {};
  }
  // The pool grows with what it will hold in vain: slots that may not be returned.
  uint64_t effort = std::max<uint64_t>(q.k, q.effort ? q.effort : std::max<uint64_t>(2 * uint64_t(q.k), 64));
  effort = effort * store_.slots() / eligible + hidden;
  if (!graph_ || q.exact || eligible <= kScanPerCandidate * effort) {
    GYR_TRY(scan(store_, s->query.data(), allowed, &s->top, task));
  } else {
    graph_->walk(s->query.data(), store_.metric == GYR_METRIC_L2, uint32_t(effort), &allowed, &s->top, &s->walk);
    if (s->top.size() < wanted) {
      s->top.reset(q.k);
      GYR_TRY(scan(store_, s->query.data(), allowed, &s->top, task));
    }
  }
  s->top.finish(out_ids, out_scores, out_count);
  return {};
}

Status VectorIndex::search(const Query& q, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                           uint32_t* out_counts) const {
  GYR_TRY(check_queries(q));
  std::unique_ptr<SearchScratch> own;
  if (!scratch) own = borrow();
  auto* s = scratch ? static_cast<SearchScratch*>(scratch) : own.get();
  GYR_TRY(check_vectors(q, s));
  if (!scratch && q.n > 1) {
    give_back(std::move(own));
    return search_many(q, task, out_ids, out_scores, out_counts);
  }
  for (uint64_t i = 0; i < q.n; i++) {
    GYR_TRY(check(task));
    GYR_TRY(search_one(q, i, s, task, out_ids + i * q.k, out_scores + i * q.k, out_counts + i));
  }
  if (own) give_back(std::move(own));
  return {};
}

Status VectorIndex::search_many(const Query& q, gyr_task* task, int64_t* out_ids, float* out_scores,
                                uint32_t* out_counts) const {
  const uint64_t per_item = knobs::capacity(16);
  std::mutex mutex;
  Status failure;
  std::exception_ptr thrown;
  std::atomic<bool> stop{false};
  runtime_->parallel_for(div_up(q.n, per_item), [&](uint64_t chunk) {
    if (stop.load(std::memory_order_relaxed)) return;
    try {
      auto s = borrow();
      Status status = check(task);
      for (uint64_t i = chunk * per_item; status.ok() && i < std::min(q.n, (chunk + 1) * per_item); i++)
        status = search_one(q, i, s.get(), task, out_ids + i * q.k, out_scores + i * q.k, out_counts + i);
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
