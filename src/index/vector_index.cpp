#include "index/vector_index.h"

#include <algorithm>
#include <exception>
#include <numeric>

#include "base/knobs.h"
#include "base/math.h"
#include "index/estimate.h"

namespace gyr {

Result<std::shared_ptr<Index>> Index::create(std::shared_ptr<Runtime> runtime, const gyr_index_options& options) {
  gyr_index_options complete = options;
  GYR_TRY(index::complete_options(&complete));
  try {
    return std::shared_ptr<Index>(std::make_shared<index::VectorIndex>(runtime, complete));
  } catch (const BudgetExceeded&) {
    return index::no_room(*runtime, complete, complete.reserve, 0);
  }
}

namespace index {
namespace {

// An upsert of so many vectors, or of such a share of those that are there, finds all links anew: a link found that way
// costs about a sixth.
constexpr uint64_t kRebuiltFrom = 2000, kRebuiltShare = 5;

}  // namespace

bool found_at_once(uint64_t n, uint64_t count) { return n >= kRebuiltFrom && n >= count / kRebuiltShare; }

Status complete_options(gyr_index_options* o) {
  auto range = [](const char* name, uint64_t value, uint64_t low, uint64_t high) -> Status {
    if (value >= low && value <= high) return {};
    return fail(GYR_E_OUT_OF_RANGE, "index", "%s is %llu; expected %llu..%llu", name, (unsigned long long)value,
                (unsigned long long)low, (unsigned long long)high);
  };
  if (o->metric == GYR_METRIC_DEFAULT) o->metric = GYR_METRIC_IP;
  if (o->kind == GYR_INDEX_DEFAULT) o->kind = GYR_INDEX_GRAPH;
  if (o->degree == 0) o->degree = 16;
  if (o->build_effort == 0) o->build_effort = 100;
  if (o->stored == GYR_STORED_DEFAULT) o->stored = GYR_STORED_FP32;
  if (o->seed == 0) o->seed = 0x67797266616c636f;
  if (o->metric < GYR_METRIC_IP || o->metric > GYR_METRIC_L2)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "metric is %d; use one of GYR_METRIC_*", o->metric);
  if (o->kind < GYR_INDEX_EXACT || o->kind > GYR_INDEX_IVF)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "kind is %d; use one of GYR_INDEX_*", o->kind);
  if (o->stored < GYR_STORED_FP32 || o->stored > GYR_STORED_INT8)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "stored is %d; use one of GYR_STORED_*", o->stored);
  GYR_TRY(range("dim", o->dim, 1, 65536));
  GYR_TRY(range("degree", o->degree, 4, 128));
  GYR_TRY(range("build_effort", o->build_effort, 8, 4096));
  GYR_TRY(range("lists", o->lists, 0, Lists::kMost));
  return range("reserve", o->reserve, 0, kMaxSlots);
}

VectorIndex::VectorIndex(std::shared_ptr<Runtime> runtime, const gyr_index_options& options)
    : runtime_(std::move(runtime)),
      options_(options),
      store_(runtime_->memory(), options.dim, options.metric, options.stored, options.kind == GYR_INDEX_GRAPH),
      staged_(Aligned<float>(runtime_->memory())),
      group_(Aligned<uint32_t>(runtime_->memory())),
      fresh_(Aligned<uint8_t>(runtime_->memory())),
      written_(Aligned<uint32_t>(runtime_->memory())) {
  if (options_.kind == GYR_INDEX_GRAPH)
    graph_.emplace(runtime_->memory(), store_, options_.degree * 2, options_.build_effort, options_.seed);
  if (options_.kind == GYR_INDEX_IVF) lists_.emplace(runtime_->memory(), store_, options_.lists, options_.seed);
  store_.reserve(options_.reserve);
  if (graph_) graph_->reserve(options_.reserve);
  if (lists_) lists_->reserve(options_.reserve);
}

Status VectorIndex::check_rows(const char* what, uint64_t first, const float* vectors, uint64_t n) const {
  Array<float> row(store_.stride, 0, Aligned<float>(runtime_->memory()));
  for (uint64_t i = 0; i < n; i++) {
    const float* given = vectors + i * store_.dim;
    if (!store_.prepare(given, row.data())) return store_.refuse(given, what, first + i);
    if (!store_.vectors.holds(row.data())) return store_.refuse_range(given, what, first + i);
  }
  return {};
}

Status VectorIndex::check_batch(const int64_t* ids, const float* vectors, uint64_t n) const {
  if (n >= kMaxSlots) return fail(GYR_E_RESOURCE_EXHAUSTED, "index", "an index holds fewer than 2^31 vectors");
  GYR_TRY(check_rows("vectors", 0, vectors, n));
  if (n < 2) return {};
  Array<int64_t> sorted(ids, ids + n, Aligned<int64_t>(runtime_->memory()));
  std::sort(sorted.begin(), sorted.end());
  auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "index", "id %lld occurs twice in one call; pass each id once",
              (long long)*twice);
}

Status VectorIndex::upsert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) {
  GYR_TRY(check_batch(ids, vectors, n));
  GYR_TRY(settle());
  {
    std::lock_guard writer(writer_);
    set_phase(task, graph_ && found_at_once(n, store_.count()) ? "build" : "upsert", n);
    GYR_TRY(insert(ids, vectors, n, task));
  }
  compact_when_due(task);
  return {};
}

uint64_t VectorIndex::count_new(const int64_t* ids, uint64_t n) const {
  uint64_t fresh = 0;
  Gate::Reader reader(gate_);
  for (uint64_t i = 0; i < n; i++) {
    if (i % kHeld == 0) reader.give_way();
    fresh += store_.find(ids[i]) == kNone;
  }
  return fresh;
}

Status VectorIndex::admit(uint64_t fresh, const float* vectors, uint64_t n) {
  if (store_.slots() + fresh >= kMaxSlots)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "index", "an index holds fewer than 2^31 vectors");
  try {
    make_room(store_.slots() + fresh);
    if (store_.slots() == 0 && n > 0) take_first_centre(vectors, n);
  } catch (const BudgetExceeded&) {
    return no_room(*runtime_, options_, store_.slots() + fresh, fresh);
  }
  return {};
}

Status VectorIndex::insert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) {
  // In this order: an id deleted between the two leaves its slot.
  const uint64_t free = store_.free_slots(), absent = count_new(ids, n), fresh = absent - std::min(absent, free);
  GYR_TRY(admit(fresh, vectors, n));
  if (graph_ && found_at_once(n, store_.count())) try {
      return rebuild(ids, vectors, n, task);
    } catch (const BudgetExceeded&) {  // inserting in groups takes longer, and less memory
    }
  const uint64_t slots = store_.slots() + fresh;
  try {
    make_ready(n);
    for (uint64_t done = 0; done < n;) {
      GYR_TRY(check(task));
      uint32_t group = uint32_t(std::min<uint64_t>(n - done, group_limit()));
      insert_group(ids + done, vectors + done * store_.dim, group);
      done += group;
      advance(task, group);
    }
    return lists_ ? renew_lists(false, task) : Status();
  } catch (const BudgetExceeded&) {  // before anything was inserted, but for lists, which grow as they fill
    return no_room(*runtime_, options_, slots, fresh);
  }
}

uint64_t VectorIndex::group_limit() const {
  return graph_ ? graph_->group_limit() : knobs::capacity(lists_ ? Lists::group_limit(store_.dim) : kBlock);
}

// New lists where the old ones were made of other vectors; finished: there are not more to come soon. The vectors are
// in: when memory is short, the old ones do for some more.
Status VectorIndex::renew_lists(bool finished, gyr_task* task) {
  const uint64_t count = store_.count();
  if (!lists_->outgrown(finished) || count < lists_put_off_) return {};
  try {
    return train_lists(task);
  } catch (const BudgetExceeded&) {
    lists_->clean_up();
    lists_put_off_ = count + count / 4;
    return {};
  }
}

Status VectorIndex::train_lists(gyr_task* task) {
  GYR_TRY(lists_->train(runtime_.get(), task));
  {
    std::unique_lock exclusive(gate_);
    lists_->use();
  }
  lists_->clean_up();
  return {};
}

// All memory that inserting n vectors in groups takes besides.
void VectorIndex::make_ready(uint64_t n) {
  const uint64_t group =
      std::min<uint64_t>(n, graph_ ? knobs::capacity(Graph::largest_group(graph_->width)) : group_limit());
  staged_.reserve(group * store_.stride);
  group_.reserve(group);
  fresh_.reserve(group);
  make_ready_to_note(n);
  if (graph_ && group > 0) graph_->prepare(group, runtime_->concurrency());
}

// What is kept as codes loses a little when it is written again for another centre: the first call's vectors give one
// at once, the last one if they are enough.
void VectorIndex::take_first_centre(const float* vectors, uint64_t n) {
  if (!store_.vectors.coded()) return;
  Array<float> row(store_.stride, 0, Aligned<float>(runtime_->memory()));
  std::unique_lock exclusive(gate_);
  store_.vectors.learn(
      [&](uint64_t i, float*) {
        store_.prepare(vectors + i * store_.dim, row.data());
        return row.data();
      },
      n);
}

// When there are enough vectors for a better centre, or axes. May throw for want of memory, before it changes anything.
void VectorIndex::learn_kept_again() {
  if (!store_.vectors.outgrown(store_.slots())) return;
  std::unique_lock exclusive(gate_);
  store_.vectors.recentre(store_.slots());
}

void VectorIndex::learn_again() {
  learn_kept_again();
  if (!graph_ || store_.vectors.share_codes() || !store_.codes->outgrown(store_.slots())) return;
  Array<uint32_t> all(store_.slots(), 0, Aligned<uint32_t>(runtime_->memory()));
  std::iota(all.begin(), all.end(), 0);
  Codes fresh = code_anew(all, all.size(), store_.ids.capacity(), [](uint64_t, float*) { return nullptr; });
  std::unique_lock exclusive(gate_);
  std::swap(*store_.codes, fresh);
}

// May throw for want of memory, but only before it changes anything. Deletions come in between: of an id that was
// there, they come after this insertion; of another one, before it.
void VectorIndex::insert_group(const int64_t* ids, const float* vectors, uint32_t n) {
  staged_.resize(uint64_t(n) * store_.stride);
  group_.resize(n);
  fresh_.resize(n);
  make_ready_to_note(n);
  if (graph_) graph_->prepare(n, runtime_->concurrency());
  for (uint32_t i = 0; i < n; i++)
    store_.prepare(vectors + uint64_t(i) * store_.dim, staged_.data() + uint64_t(i) * store_.stride);
  try {
    learn_again();
  } catch (const std::bad_alloc&) {  // the codes that are there do, too
  }
  if (lists_) return insert_listed(ids, n);
  {
    std::unique_lock exclusive(gate_);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t old = store_.find(ids[i]);
      fresh_[i] = old == kNone;
      group_[i] = fresh_[i] ? store_.take_slot() : old;
      store_.write_coded_row(group_[i], staged_.data() + uint64_t(i) * store_.stride);
    }
    if (graph_) graph_->detach(group_);
  }
  link_group(ids);
}

void VectorIndex::link_group(const int64_t* ids) {
  if (graph_) graph_->compute(runtime_.get());
  if (watched_) written_.insert(written_.end(), group_.begin(), group_.end());  // has room
  std::unique_lock exclusive(gate_);
  if (graph_) graph_->apply();
  for (size_t i = 0; i < group_.size(); i++)
    if (fresh_[i]) publish(group_[i], ids[i]);
  changes_.fetch_add(group_.size(), std::memory_order_relaxed);
}

void VectorIndex::publish(uint32_t slot, int64_t id) {
  store_.publish(slot, id);
  selections_->changed();
}

// The staged rows of a group, whole between two searches.
void VectorIndex::insert_listed(const int64_t* ids, uint32_t n) {
  lists_->compute(runtime_.get(), staged_.data(), n);
  std::unique_lock exclusive(gate_);
  lists_->prepare(store_.slots() + n);
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t old = store_.find(ids[i]), slot = old == kNone ? store_.take_slot() : old;
    store_.write_row(slot, staged_.data() + uint64_t(i) * store_.stride);
    lists_->add(i, slot);
    if (old == kNone) publish(slot, ids[i]);
  }
}

void Taken::clear() {
  if (slots_.empty()) return;
  std::unique_lock exclusive(gate_);
  for (uint32_t slot : slots_)
    if (slot < end_ && !store_.is_alive(slot)) store_.give_back(slot);
  slots_.clear();
  if (end_ >= store_.slots()) return;
  store_.cut(end_);
  graph_->links.resize(end_ * graph_->width);
}

Status VectorIndex::remove(const int64_t* ids, uint64_t n, uint64_t* removed) {
  uint64_t count = 0;
  GYR_TRY(settle());
  for (uint64_t begin = 0; begin < n; begin += kHeld) {
    std::unique_lock exclusive(gate_);
    for (uint64_t i = begin; i < std::min(begin + kHeld, n); i++) {
      const uint32_t slot = store_.find(ids[i]);
      if (slot == kNone) continue;
      if (lists_) lists_->remove(slot);
      store_.remove(slot);
      selections_->forget(slot);
      selections_->changed();
      changes_.fetch_add(1, std::memory_order_relaxed);
      count++;
    }
  }
  if (removed) *removed = count;
  return {};
}

void VectorIndex::slots(const int64_t* ids, uint64_t n, int64_t* out) const {
  uint32_t slots[kHeld];
  Gate::Reader reader(gate_);
  for (uint64_t first = 0; first < n; first += kHeld) {
    reader.give_way();
    const uint64_t some = std::min(kHeld, n - first);
    store_.map.find_many(ids + first, some, store_.ids.data(), slots);
    for (uint64_t i = 0; i < some; i++) out[first + i] = slots[i] == kNone ? -1 : int64_t(slots[i]);
  }
}

bool VectorIndex::find_id_beyond(uint64_t end, int64_t* id) const {
  Gate::Reader reader(gate_);
  for (uint32_t slot = 0; slot < store_.slots(); slot++) {
    if (slot % 4096 == 0 && reader.give_way() && slot >= store_.slots()) break;
    if (store_.is_alive(slot) && uint64_t(store_.ids[slot]) >= end) return *id = store_.ids[slot], true;
  }
  return false;
}

void VectorIndex::fill_info(gyr_index_info* info) const {
  Gate::Reader reader(gate_);
  info->dim = store_.dim;
  info->metric = store_.metric;
  info->kind = options_.kind;
  info->count = store_.count();
  info->slots = store_.slots();
  info->stored = store_.stored;
  info->bytes_vectors = store_.vectors.bytes();
  info->bytes_codes = graph_ ? store_.codes->bytes() : lists_ ? lists_->bytes_of_codes() : 0;
  info->bytes_links = graph_ ? graph_->bytes() : lists_ ? lists_->bytes() : 0;
  info->bytes_ids = store_.id_bytes();
  info->bytes = info->bytes_vectors + info->bytes_codes + info->bytes_links + info->bytes_ids;
  info->capacity = store_.ids.capacity();
  info->code_bytes = code_bytes();
  info->codes_touched = touched_.codes;
  info->vectors_touched = touched_.rows;
  const uint64_t tuned = tuned_;
  info->tuned_k = uint32_t(tuned >> 32);
  info->tuned_effort = uint32_t(tuned);
}

}  // namespace index
}  // namespace gyr
