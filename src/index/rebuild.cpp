// Vectors in large numbers: all links are found anew, beside readers and deletions, and put in place in one step. The
// vectors follow, some at a time.
#include <algorithm>

#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

constexpr uint64_t kAtOnce = 1024;  // vectors that a thread encodes

}  // namespace

Codes VectorIndex::code_anew(std::span<const uint32_t> members, uint64_t slots, uint64_t capacity,
                             const RowReader& given) const {
  const bool keep = store_.vectors.share_codes();
  const Codes& old = *store_.codes;
  Codes codes = store_.empty_codes(runtime_->memory());
  const auto row_of = [&](uint32_t slot, float* scratch) {
    const float* row = given(slot, scratch);
    return row ? row : store_.read(slot, scratch);
  };
  if (keep)
    codes.set_like(old);
  else
    codes.learn([&](uint64_t i, float* scratch) { return row_of(members[i], scratch); }, members.size());
  codes.reserve(capacity);
  codes.resize(slots);
  if (keep)  // also of vectors in slots that are not known yet
    runtime_->parallel_for(div_up(slots, kAtOnce), [&](uint64_t part) {
      for (uint64_t i = part * kAtOnce; i < std::min<uint64_t>((part + 1) * kAtOnce, slots); i++)
        codes.copy(uint32_t(i), old);
    });
  runtime_->parallel_for(div_up(members.size(), kAtOnce), [&](uint64_t part) {
    CodeQuery work(runtime_->memory());
    Array<float> scratch(store_.stride, 0, Aligned<float>(runtime_->memory()));
    for (uint64_t i = part * kAtOnce; i < std::min<uint64_t>((part + 1) * kAtOnce, members.size()); i++) {
      const float* row = given(members[i], scratch.data());
      if (!row && keep) continue;
      codes.write(members[i], row ? row : store_.read(members[i], scratch.data()), &work);
      if (keep) codes.settle(members[i], &work);
    }
  });
  return codes;
}

Status VectorIndex::rebuild(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) {
  const auto memory = runtime_->memory();
  Array<uint32_t> at(n, 0, Aligned<uint32_t>(memory));   // the vectors' slots
  Array<uint32_t> replaced{Aligned<uint32_t>(memory)};   // vectors that replace others
  Array<uint32_t> vector_of{Aligned<uint32_t>(memory)};  // [slots], of those, by slot
  replaced.reserve(n);
  staged_.resize(store_.stride);
  Taken taken(&store_, &gate_, memory);
  taken.end_at(store_.slots(), &*graph_);
  taken.reserve(n);
  for (uint64_t begin = 0; begin < n; begin += kHeld) {
    std::unique_lock exclusive(gate_);
    for (uint64_t i = begin; i < std::min(begin + kHeld, n); i++) {
      at[i] = store_.find(ids[i]);
      if (at[i] != kNone) {
        replaced.push_back(uint32_t(i));
        continue;
      }
      at[i] = taken.take();
      store_.prepare(vectors + i * store_.dim, staged_.data());
      store_.write_row(at[i], staged_.data());
    }
    graph_->links.resize(uint64_t(store_.slots()) * graph_->width, kNone);  // also if this comes to nothing
  }
  if (!replaced.empty()) vector_of.assign(store_.slots(), kNone);
  for (uint32_t i : replaced) vector_of[at[i]] = i;
  if (!replaced.empty())
    for (uint32_t slot : taken.slots()) vector_of[slot] = kNone;  // also of what was deleted after it was found
  const uint64_t changes = changes_.load(std::memory_order_relaxed);
  const Array<uint32_t> members = alive_and(taken.slots());
  Codes codes =
      code_anew(members, store_.slots(), store_.ids.capacity(), [&](uint64_t slot, float* scratch) -> const float* {
        if (vector_of.empty() || vector_of[slot] == kNone) return nullptr;
        store_.prepare(vectors + uint64_t(vector_of[slot]) * store_.dim, scratch);
        return scratch;
      });
  Links links(memory);
  links.of.reserve(graph_->links.capacity());
  GYR_TRY(build_links(codes, members, store_.metric, graph_->width, graph_->seed, runtime_.get(), task, &links));

  take_links(changes, &codes, &links);
  // Each id is old or new meanwhile: scores are by rows.
  for (uint64_t begin = 0, next = 0; begin < n; begin += kHeld) {
    std::unique_lock exclusive(gate_);
    for (uint64_t i = begin; i < std::min(begin + kHeld, n); i++) {
      if (next == replaced.size() || replaced[next] != i) {
        publish(at[i], ids[i]);
        continue;
      }
      next++;
      if (vector_of[at[i]] != i) continue;
      store_.prepare(vectors + i * store_.dim, staged_.data());
      store_.write_row(at[i], staged_.data());
      if (store_.stored != GYR_STORED_FP32) store_.write_code(at[i]);  // of what is kept now
    }
  }
  taken.keep();
  advance(task, n);
  return {};
}

// Codes that are the vectors are those of the store: the others were of what was to be written.
void VectorIndex::take_links(uint64_t changes, Codes* codes, Links* links) {
  std::unique_lock exclusive(gate_);
  if (!store_.vectors.share_codes()) std::swap(*store_.codes, *codes);
  graph_->adopt(links);
  changes_.fetch_sub(changes, std::memory_order_relaxed);
  put_off_ = 0;
  builds_++;
}

Array<uint32_t> VectorIndex::alive_and(std::span<const uint32_t> more) const {
  Array<uint32_t> slots{Aligned<uint32_t>(runtime_->memory())};
  slots.reserve(store_.count() + more.size());
  for (uint32_t slot = 0; slot < store_.slots(); slot++)
    if (store_.is_alive(slot)) slots.push_back(slot);
  slots.insert(slots.end(), more.begin(), more.end());
  return slots;
}

Status VectorIndex::link_at_once(std::span<const int64_t> ids, std::span<const uint32_t> at, gyr_task* task) {
  const uint64_t changes = changes_.load(std::memory_order_relaxed);
  const Array<uint32_t> members = alive_and(at);
  Codes codes = code_anew(members, store_.slots(), store_.ids.capacity(), [](uint64_t, float*) { return nullptr; });
  Links links(runtime_->memory());
  links.of.reserve(graph_->links.capacity());
  GYR_TRY(build_links(codes, members, store_.metric, graph_->width, graph_->seed, runtime_.get(), task, &links));
  take_links(changes, &codes, &links);
  for (uint64_t begin = 0; begin < at.size(); begin += kHeld) {
    std::unique_lock exclusive(gate_);
    for (uint64_t i = begin; i < std::min<uint64_t>(begin + kHeld, at.size()); i++) publish(at[i], ids[i]);
  }
  advance(task, at.size());
  return {};
}

Status VectorIndex::link(std::span<const int64_t> ids, std::span<const uint32_t> at, gyr_task* task) {
  if (found_at_once(at.size(), store_.count())) try {
      return link_at_once(ids, at, task);
    } catch (const BudgetExceeded&) {  // in groups that takes longer, and less memory
    }
  for (uint64_t done = 0; done < at.size();) {
    GYR_TRY(check(task));
    const uint64_t n = std::min<uint64_t>(at.size() - done, graph_->group_limit());
    group_.assign(at.begin() + ptrdiff_t(done), at.begin() + ptrdiff_t(done + n));
    fresh_.assign(n, 1);
    make_ready_to_note(n);
    graph_->prepare(n, runtime_->concurrency());
    try {
      learn_again();
    } catch (const std::bad_alloc&) {  // the codes that are there do, too
    }
    {
      std::unique_lock exclusive(gate_);
      for (uint32_t slot : group_) store_.write_code(slot);
      graph_->detach(group_);
    }
    link_group(ids.data() + done);
    done += n;
    advance(task, n);
  }
  return {};
}

}  // namespace gyr::index
