// More and less room for slots. What searches read is copied beside them and put in place while there are none, so that
// nobody waits for the copying; one array at a time, which is all the memory that it takes besides. Of the writer.
#include <algorithm>

#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

constexpr uint64_t kCopied = 4096;  // slots while deletions wait

}  // namespace

// What only the writer changes.
template <class T>
void VectorIndex::move(Array<T>* array, uint64_t capacity) {
  Array<T> next(array->get_allocator());
  next.reserve(capacity);
  next.assign(array->begin(), array->end());
  std::unique_lock exclusive(gate_);
  array->swap(next);
  exclusive.unlock();  // before the old one is freed
}

void VectorIndex::move_bits(Array<uint64_t>* bits, uint64_t capacity) {
  Array<uint64_t> next(bits->get_allocator());
  next.reserve(capacity);
  std::unique_lock exclusive(gate_);
  next.assign(bits->begin(), bits->end());
  bits->swap(next);
  exclusive.unlock();
}

void VectorIndex::move_map(uint64_t slots) {
  const Array<uint64_t> were = store_.alive_now();
  IdMap next(runtime_->memory());
  next.reserve(slots, nullptr);
  (void)next.fill(store_.ids, were);
  std::unique_lock exclusive(gate_);
  store_.each_gone(were, [&](uint32_t slot) { next.erase(store_.ids[slot], store_.ids.data()); });
  std::swap(store_.map, next);
  exclusive.unlock();
}

void VectorIndex::move_list_of(uint64_t capacity) {
  const Array<uint64_t> were = store_.alive_now();
  Array<uint32_t>& now = lists_->list_of();
  Array<uint32_t> next(now.get_allocator());
  next.reserve(capacity);
  next.resize(now.size());
  {
    Gate::Reader reader(gate_);
    for (uint64_t first = 0; first < now.size(); first += kCopied) {
      reader.give_way();
      std::copy_n(now.begin() + ptrdiff_t(first), std::min<uint64_t>(kCopied, now.size() - first),
                  next.begin() + ptrdiff_t(first));
    }
  }
  std::unique_lock exclusive(gate_);
  store_.each_gone(were, [&](uint32_t slot) { next[slot] = kNone; });
  now.swap(next);
  exclusive.unlock();
}

void VectorIndex::move_all(uint64_t slots, bool smaller) {
  const auto wrong = [&](uint64_t capacity, uint64_t wanted) {
    return smaller ? capacity > wanted : capacity < wanted;
  };
  store_.each_array([&](auto* array, uint64_t each) {
    if (wrong(array->capacity(), slots * each)) move(array, slots * each);
  });
  if (graph_ && wrong(graph_->links.capacity(), slots * graph_->width)) move(&graph_->links, slots * graph_->width);
  store_.each_bits([&](auto* bits) {
    if (wrong(bits->capacity(), div_up(slots, 64))) move_bits(bits, div_up(slots, 64));
  });
  if (smaller || !store_.map.has_room(slots)) move_map(slots);
  if (lists_) {
    if (wrong(lists_->list_of().capacity(), slots)) move_list_of(slots);
    std::unique_lock exclusive(gate_);
    lists_->reserve(slots);
  }
  if (wrong(store_.ids.capacity(), slots)) move(&store_.ids, slots);  // last: its capacity is that of all
}

// Growing arrays get a quarter of slack, unless there is no memory for it.
void VectorIndex::make_room(uint64_t slots) {
  const uint64_t had = store_.ids.capacity(), roomy = std::min<uint64_t>(had + had / 4 + 16, kMaxSlots);
  try {
    move_all(had > 0 && slots > had ? std::max(slots, roomy) : slots, false);
  } catch (const std::bad_alloc&) {
    move_all(slots, false);
  }
}

void VectorIndex::trim(uint64_t least) {
  {
    std::unique_lock exclusive(gate_);
    const uint64_t slots = std::max(least, store_.used_slots());
    if (slots < store_.slots()) {
      store_.cut(slots);
      if (graph_) graph_->links.resize(slots * graph_->width);
      if (lists_) lists_->list_of().resize(std::min<uint64_t>(slots, lists_->list_of().size()));
    }
  }
  const uint64_t slots = store_.slots(), room = std::max(slots + slots / 8, options_.reserve);
  if (store_.ids.capacity() <= 2 * room) return;
  move_all(room, true);
  std::vector<std::unique_ptr<SearchScratch>> idle;
  std::lock_guard lock(idle_mutex_);
  idle.swap(idle_);
}

}  // namespace gyr::index
