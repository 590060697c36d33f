// Vectors that come in parts. A graph's new ones wait in slots that nobody knows until all have come: links that are
// found at once are cheaper and better than those of one part after the other.
#include <algorithm>
#include <numeric>

#include "index/vector_index.h"

namespace gyr::index {

class Staging final : public Index::Inflow {
 public:
  Staging(VectorIndex* index, uint64_t expected)
      : index_(*index),
        expected_(expected),
        ids_(Aligned<int64_t>(index->runtime_->memory())),
        taken_(&index->store_, &index->gate_, index->runtime_->memory()) {}
  ~Staging() override {
    std::lock_guard writer(index_.writer_);
    taken_.clear();
  }
  Status check(const char* what, uint64_t first, const float* vectors, uint64_t n) const override {
    return index_.check_rows(what, first, vectors, n);
  }
  Status append(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) override;
  Status finish(gyr_task* task) override;

 private:
  // Inserts those that are there already, and says which are not.
  Status replace(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task, Array<uint32_t>* fresh);
  Status stage(const int64_t* ids, const float* vectors, const Array<uint32_t>& fresh);
  Status link(gyr_task* task);
  template <class T>
  Aligned<T> memory() const {
    return Aligned<T>(index_.runtime_->memory());
  }

  VectorIndex& index_;
  uint64_t expected_;
  Array<int64_t> ids_;  // of what is staged, in the slots that are taken
  Taken taken_;
};

std::unique_ptr<Index::Inflow> VectorIndex::inflow(uint64_t expected) {
  return std::make_unique<Staging>(this, expected);
}

Status Staging::append(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) {
  GYR_TRY(index_.settle());
  std::lock_guard writer(index_.writer_);
  if (!index_.graph_) return index_.insert(ids, vectors, n, task);
  Array<uint32_t> fresh(memory<uint32_t>());
  GYR_TRY(replace(ids, vectors, n, task, &fresh));
  GYR_TRY(stage(ids, vectors, fresh));
  advance(task, fresh.size());
  return {};
}

Status Staging::replace(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task, Array<uint32_t>* fresh) {
  const uint32_t dim = index_.store_.dim;
  Array<int64_t> known(memory<int64_t>());
  Array<float> rows(memory<float>());
  fresh->reserve(n);
  {
    Gate::Reader reader(index_.gate_);
    for (uint64_t i = 0; i < n; i++) {
      if (i % kHeld == 0) reader.give_way();
      if (index_.store_.find(ids[i]) == kNone) {
        fresh->push_back(uint32_t(i));
        continue;
      }
      known.push_back(ids[i]);
      rows.insert(rows.end(), vectors + i * dim, vectors + (i + 1) * dim);
    }
  }
  return known.empty() ? Status() : index_.insert(known.data(), rows.data(), known.size(), task);
}

Status Staging::stage(const int64_t* ids, const float* vectors, const Array<uint32_t>& fresh) {
  if (fresh.empty()) return {};
  Store& store = index_.store_;
  const uint64_t dim = store.dim;
  if (ids_.empty() && expected_ > fresh.size()) try {  // no array is copied while it grows
      index_.make_room(std::min<uint64_t>(store.slots() + expected_, kMaxSlots));
    } catch (const BudgetExceeded&) {  // there may be others among them that replace some
    }
  GYR_TRY(index_.admit(fresh.size() - std::min<uint64_t>(fresh.size(), store.free_slots()), vectors, fresh.size()));
  ids_.reserve(std::max<uint64_t>(ids_.size() + fresh.size(), ids_.capacity() + ids_.capacity() / 4));
  taken_.reserve(fresh.size());
  Array<float> row(store.stride, 0, memory<float>());
  for (uint64_t begin = 0; begin < fresh.size(); begin += kHeld) {
    std::unique_lock exclusive(index_.gate_);
    for (uint64_t i = begin; i < std::min<uint64_t>(begin + kHeld, fresh.size()); i++) {
      store.prepare(vectors + fresh[i] * dim, row.data());
      store.write_row(taken_.take(), row.data());
      ids_.push_back(ids[fresh[i]]);
    }
    index_.graph_->links.resize(uint64_t(store.slots()) * index_.graph_->width, kNone);
  }
  try {
    index_.learn_kept_again();
  } catch (const std::bad_alloc&) {  // the centre that is there does, too
  }
  return {};
}

Status Staging::finish(gyr_task* task) {
  {
    std::lock_guard writer(index_.writer_);
    GYR_TRY(index_.lists_ ? index_.renew_lists(true, task) : link(task));
  }
  index_.compact_when_due(task);
  return {};
}

Status Staging::link(gyr_task* task) {
  struct AtEnd {
    Taken& taken;
    ~AtEnd() { taken.clear(); }
  } at_end{taken_};
  // The last row of each id; ids that another writer has inserted meanwhile are replaced.
  const Store& store = index_.store_;
  const auto slots = taken_.slots();
  Array<uint32_t> order(ids_.size(), 0, memory<uint32_t>()), at(memory<uint32_t>());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return ids_[a] < ids_[b] || (ids_[a] == ids_[b] && a < b); });
  Array<int64_t> fresh(memory<int64_t>()), late(memory<int64_t>());
  Array<float> late_rows(memory<float>()), scratch(store.stride, 0, memory<float>());
  at.reserve(order.size());
  fresh.reserve(order.size());
  std::optional<Gate::Reader> reader(index_.gate_);
  for (uint64_t i = 0; i < order.size(); i++) {
    if (i % kHeld == 0) reader->give_way();
    const int64_t id = ids_[order[i]];
    if (i + 1 < order.size() && ids_[order[i + 1]] == id) continue;
    if (store.find(id) == kNone) {
      fresh.push_back(id);
      at.push_back(slots[order[i]]);
      continue;
    }
    const float* row = store.read(slots[order[i]], scratch.data());
    late.push_back(id);
    late_rows.insert(late_rows.end(), row, row + store.dim);
  }
  reader.reset();
  set_phase(task, "build", fresh.size() + late.size());
  GYR_TRY(index_.link(fresh, at, task));
  return index_.insert(late.data(), late_rows.data(), late.size(), task);
}

}  // namespace gyr::index
