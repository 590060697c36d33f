// Compaction: all links are found anew among what is alive, beside searches, insertions and deletions; what was written
// meanwhile gets a place among them at the end, while insertions wait. Then slots and memory at the end are given back.
#include <algorithm>

#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

// So many changes, and such a share of what is there, call for it.
constexpr uint64_t kChanges = 2000, kChangedShare = 2;
constexpr uint64_t kAtOnce = 256;  // nodes that a thread takes, or codes copied while writers wait

struct Edit {
  uint32_t target, add;
  auto operator<=>(const Edit&) const = default;
};

class Bits {
 public:
  Bits(std::pmr::memory_resource* m, std::span<const uint32_t> slots, uint64_t n)
      : words_(div_up(n, 64), 0, Aligned<uint64_t>(m)) {
    for (uint32_t slot : slots) words_[slot >> 6] |= uint64_t(1) << (slot & 63);
  }
  bool has(uint32_t slot) const { return words_[slot >> 6] >> (slot & 63) & 1; }

 private:
  Array<uint64_t> words_;
};

// Watches what is written, as long as it lives. Made by who holds the mutex.
class Watch {
 public:
  Watch(FairMutex* writer, bool* watched, Array<uint32_t>* written)
      : writer_(*writer), watched_(*watched), written_(*written) {
    watched_ = true;
  }
  ~Watch() {
    std::lock_guard lock(writer_);
    watched_ = false;
    Array<uint32_t>(written_.get_allocator()).swap(written_);
  }

 private:
  FairMutex& writer_;
  bool& watched_;
  Array<uint32_t>& written_;
};

uint64_t end_of(std::span<const uint32_t> slots) {
  return slots.empty() ? 0 : *std::max_element(slots.begin(), slots.end()) + uint64_t(1);
}

}  // namespace

void VectorIndex::make_ready_to_note(uint64_t n) {
  if (!watched_ || written_.capacity() - written_.size() >= n) return;
  written_.reserve(std::max<uint64_t>(written_.size() + n, 2 * written_.capacity()));
}

bool VectorIndex::compaction_due() const {
  return graph_ && changes_ >= put_off_ + std::max(kChanges, store_.count() / kChangedShare);
}

// The vectors are in: compaction that cannot be is one for later.
void VectorIndex::compact_when_due(gyr_task* task) {
  if (!compaction_due() || !compaction_.try_lock()) return;
  std::lock_guard one(compaction_, std::adopt_lock);
  bool done = false;
  try {
    done = renew_graph(task).ok();
  } catch (const std::bad_alloc&) {
  }
  if (!done) put_off_ = changes_.load();
}

Status VectorIndex::compact(gyr_task* task) {
  GYR_TRY(settle());
  std::lock_guard one(compaction_);
  if (graph_) return renew_graph(task);
  std::lock_guard writer(writer_);
  set_phase(task, "compact", store_.count());
  GYR_TRY(check(task));
  if (lists_) GYR_TRY(train_lists(task));
  trim(0);
  advance(task, store_.count());
  return {};
}

Status VectorIndex::renew_graph(gyr_task* task) {
  const auto memory = runtime_->memory();
  Array<uint32_t> members{Aligned<uint32_t>(memory)};
  std::optional<Watch> watch;
  uint64_t builds = 0, changes = 0, slots = 0, capacity = 0;
  bool changed = false;
  {
    std::lock_guard writer(writer_);
    builds = builds_;
    changes = changes_;
    slots = store_.slots();
    capacity = store_.ids.capacity();
    members = alive_and({});
    changed = changes_ > 0;  // asked afterwards: without changes no link leads to a slot that is no member
    watch.emplace(&writer_, &watched_, &written_);
  }
  set_phase(task, "compact", members.size());
  GYR_TRY(check(task));
  Links links(memory);
  Codes codes = store_.empty_codes(memory);
  if (changed && !members.empty()) {
    codes = code_copies(members, slots, capacity);
    links.of.reserve(capacity * graph_->width);
    GYR_TRY(build_links(codes, members, store_.metric, graph_->width, graph_->seed, runtime_.get(), task, &links));
  } else if (changed) {  // all are deleted: what comes now has the centre that there was
    codes.set_like(*store_.codes);
    reserve_pivots(&links);
  }
  std::lock_guard writer(writer_);
  if (builds != builds_) return {};  // an upsert of many has found them anew
  if (changed) adopt_renewed(changes, members, &codes, &links);
  trim(std::max(end_of(members), end_of(written_)));
  advance(task, members.size());
  return {};
}

// As the vectors are now, or soon: beside insertions.
Codes VectorIndex::code_copies(std::span<const uint32_t> members, uint64_t slots, uint64_t capacity) const {
  if (!store_.vectors.share_codes())
    return code_anew(members, slots, capacity, [&](uint64_t slot, float* copy) -> const float* {
      Gate::Reader reader(gate_);
      const float* row = store_.read(uint32_t(slot), copy);
      if (row != copy) std::copy_n(row, store_.dim, copy);
      return copy;
    });
  Codes codes = store_.empty_codes(runtime_->memory());
  Gate::Reader reader(gate_);
  codes.set_like(*store_.codes);
  codes.reserve(slots);
  codes.resize(slots);
  for (uint64_t i = 0; i < members.size(); i++) {
    if (i % kAtOnce == 0) reader.give_way();
    codes.copy(members[i], *store_.codes);
  }
  return codes;
}

void VectorIndex::adopt_renewed(uint64_t changes, std::span<const uint32_t> members, Codes* codes, Links* links) {
  const bool keep = store_.vectors.share_codes();
  links->of.reserve(graph_->links.capacity());
  links->of.resize(uint64_t(store_.slots()) * graph_->width, kNone);
  if (!keep) {
    codes->reserve(store_.ids.capacity());
    codes->resize(store_.slots());
    CodeQuery work(runtime_->memory());
    Array<float> scratch(store_.stride, 0, Aligned<float>(runtime_->memory()));
    for (uint32_t slot : written_) codes->write(slot, store_.read(slot, scratch.data()), &work);
  }
  if (!written_.empty()) place_written(keep ? *store_.codes : *codes, members, links);
  take_links(changes, codes, links);
}

// Slots that were written since the members were listed: the links that insertion found for them stay, but those that
// lead to where they were before go.
void VectorIndex::place_written(const Codes& codes, std::span<const uint32_t> members, Links* links) {
  const auto memory = runtime_->memory();
  const uint32_t width = graph_->width;
  std::sort(written_.begin(), written_.end());
  written_.erase(std::unique(written_.begin(), written_.end()), written_.end());
  const Bits written(memory, written_, store_.slots()), member(memory, members, store_.slots());
  auto links_of = [&](uint32_t slot) { return links->of.data() + uint64_t(slot) * width; };
  for (uint32_t slot : members) {
    uint32_t* l = links_of(slot);
    std::fill(std::remove_if(l, l + width, [&](uint32_t to) { return to != kNone && written.has(to); }), l + width,
              kNone);
  }
  Array<Edit> edits{Aligned<Edit>(memory)};
  edits.reserve(written_.size() * width);
  for (uint32_t slot : written_) {
    uint32_t n = 0;
    for (uint32_t to : graph_->links_of(slot)) {
      if (!written.has(to) && !member.has(to)) continue;  // dead before
      links_of(slot)[n++] = to;
      if (!written.has(to)) edits.push_back({to, slot});
    }
    std::fill(links_of(slot) + n, links_of(slot) + width, kNone);
  }
  std::sort(edits.begin(), edits.end());
  Array<uint64_t> first{Aligned<uint64_t>(memory)};  // of every target, and the end
  first.reserve(edits.size() + 1);
  for (uint64_t i = 0; i < edits.size(); i++)
    if (i == 0 || edits[i].target != edits[i - 1].target) first.push_back(i);
  const uint64_t targets = first.size();
  first.push_back(edits.size());
  runtime_->parallel_for(div_up(targets, kAtOnce), [&](uint64_t part) {
    LinkScratch scratch(memory);
    for (uint64_t t = part * kAtOnce; t < std::min(targets, (part + 1) * kAtOnce); t++) {
      uint32_t* l = links_of(edits[first[t]].target);
      scratch.ids.assign(l, std::find(l, l + width, kNone));
      for (uint64_t i = first[t]; i < first[t + 1]; i++) scratch.ids.push_back(edits[i].add);
      if (scratch.ids.size() > width)
        choose_links(codes, store_.metric, build_slack(store_.metric), edits[first[t]].target, width, &scratch, l);
      else
        std::copy(scratch.ids.begin(), scratch.ids.end(), l);
    }
  });
  Array<uint32_t> all{Aligned<uint32_t>(memory)};
  all.reserve(store_.slots());
  for (uint32_t slot = 0; slot < store_.slots(); slot++)
    if (written.has(slot) || member.has(slot)) all.push_back(slot);
  choose_pivots(codes, all, store_.metric, graph_->seed, links);
}

}  // namespace gyr::index
