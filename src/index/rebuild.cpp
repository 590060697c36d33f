// Vectors in large numbers: all links are found anew, beside readers, and put in place in one step.
#include <algorithm>

#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

constexpr uint64_t kAtOnce = 1024;  // vectors that a thread encodes, or that are written while readers wait

// Slots that were taken for vectors and go back unless they are published.
class Taken {
 public:
  Taken(Store* store, Gate* gate, std::pmr::memory_resource* m, uint64_t n)
      : store_(*store), gate_(*gate), slots_(Aligned<uint32_t>(m)) {
    slots_.reserve(n);
  }
  ~Taken() {
    if (slots_.empty()) return;
    std::unique_lock exclusive(gate_);
    for (uint32_t slot : slots_) store_.give_back(slot);
  }
  uint32_t take() { return slots_.emplace_back(store_.take_slot()); }
  void keep() { slots_.clear(); }

 private:
  Store& store_;
  Gate& gate_;
  Array<uint32_t> slots_;
};

}  // namespace

Codes VectorIndex::code_anew(std::span<const uint32_t> slots, const RowReader& given) const {
  const bool keep = store_.vectors.share_codes();
  const Codes& old = *store_.codes;
  Codes codes(runtime_->memory(), store_.dim, store_.ops);
  const auto row_of = [&](uint32_t slot, float* scratch) {
    const float* row = given(slot, scratch);
    return row ? row : store_.read(slot, scratch);
  };
  if (keep)
    codes.set(old.centre(), old.axes(), old.next_learning());
  else
    codes.learn([&](uint64_t i, float* scratch) { return row_of(slots[i], scratch); }, slots.size());
  codes.reserve(store_.ids.capacity());
  codes.resize(store_.slots());
  runtime_->parallel_for(div_up(slots.size(), kAtOnce), [&](uint64_t part) {
    CodeQuery work(runtime_->memory());
    Array<float> scratch(store_.stride, 0, Aligned<float>(runtime_->memory()));
    for (uint64_t i = part * kAtOnce; i < std::min<uint64_t>((part + 1) * kAtOnce, slots.size()); i++) {
      const float* row = given(slots[i], scratch.data());
      if (!row && keep) {
        codes.copy(slots[i], old);
        continue;
      }
      codes.write(slots[i], row ? row : store_.read(slots[i], scratch.data()), &work);
      if (keep) codes.settle(slots[i], &work);
    }
  });
  return codes;
}

Status VectorIndex::rebuild(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) {
  set_phase(task, "build", n);
  const auto memory = runtime_->memory();
  Array<uint32_t> at(n, 0, Aligned<uint32_t>(memory));   // the vectors' slots
  Array<uint32_t> members{Aligned<uint32_t>(memory)};    // those alive, and the new ones
  Array<uint32_t> replaced{Aligned<uint32_t>(memory)};   // vectors that replace others
  Array<uint32_t> vector_of{Aligned<uint32_t>(memory)};  // [slots], of those, by slot
  members.reserve(store_.count + n);
  replaced.reserve(n);
  staged_.resize(store_.stride);
  Taken taken(&store_, &gate_, memory, n);
  for (uint32_t slot = 0; slot < store_.slots(); slot++)
    if (store_.is_alive(slot)) members.push_back(slot);
  for (uint64_t begin = 0; begin < n; begin += kAtOnce) {
    std::unique_lock exclusive(gate_);
    for (uint64_t i = begin; i < std::min(begin + kAtOnce, n); i++) {
      at[i] = store_.find(ids[i]);
      if (at[i] != kNone) {
        replaced.push_back(uint32_t(i));
        continue;
      }
      at[i] = taken.take();
      members.push_back(at[i]);
      store_.prepare(vectors + i * store_.dim, staged_.data());
      store_.write_row(at[i], staged_.data());
    }
    graph_->links.resize(uint64_t(store_.slots()) * graph_->width, kNone);  // also if this comes to nothing
  }
  if (!replaced.empty()) vector_of.assign(store_.slots(), kNone);
  for (uint32_t i : replaced) vector_of[at[i]] = i;
  Codes codes = code_anew(members, [&](uint64_t slot, float* scratch) -> const float* {
    if (vector_of.empty() || vector_of[slot] == kNone) return nullptr;
    store_.prepare(vectors + uint64_t(vector_of[slot]) * store_.dim, scratch);
    return scratch;
  });
  Links links(memory);
  links.of.reserve(graph_->links.capacity());
  GYR_TRY(build_links(codes, members, store_.metric, graph_->width, graph_->seed, runtime_.get(), task, &links));

  std::unique_lock exclusive(gate_);
  for (uint32_t i : replaced) {
    store_.prepare(vectors + uint64_t(i) * store_.dim, staged_.data());
    store_.write_row(at[i], staged_.data());
  }
  std::swap(*store_.codes, codes);
  if (store_.stored != GYR_STORED_FP32)
    for (uint32_t i : replaced) store_.write_code(at[i]);  // of what is kept now
  graph_->adopt(&links);
  for (uint64_t i = 0; i < n; i++) {
    if (store_.find(ids[i]) != kNone) continue;
    store_.publish(at[i], ids[i]);
    selections_->changed();
  }
  taken.keep();
  advance(task, n);
  return {};
}

}  // namespace gyr::index
