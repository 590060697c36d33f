#include "index/selection.h"

#include <algorithm>

#include "base/knobs.h"
#include "base/math.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

constexpr uint64_t kAtOnce = 4096;  // ids under one hold of the gate, and of one test

}  // namespace

void Selections::join(SlotSelection* s) {
  std::lock_guard lock(mutex_);
  all_.push_back(s);
}

void Selections::leave(SlotSelection* s) {
  std::lock_guard lock(mutex_);
  std::erase(all_, s);
}

void Selections::forget(uint32_t slot) {
  std::lock_guard lock(mutex_);
  for (SlotSelection* s : all_) s->forget(slot);
}

SlotSelection::SlotSelection(std::shared_ptr<Selections> home, std::pmr::memory_resource* memory)
    : home_(std::move(home)),
      bits_(Aligned<uint64_t>(memory)),
      listed_(Aligned<uint32_t>(memory)),
      made_at_(home_->changes()) {
  home_->join(this);
}

void SlotSelection::open(uint32_t slots) {
  slots_ = slots;
  bits_.assign(div_up(slots_, 64), 0);
}

void SlotSelection::add(uint32_t slot) {
  if (slot >= slots_ || has(slot)) return;  // beyond: it came after the selection was opened
  bits_[slot >> 6] |= uint64_t(1) << (slot & 63);
  count_++;
}

void SlotSelection::forget(uint32_t slot) {
  if (!has(slot)) return;
  bits_[slot >> 6] &= ~(uint64_t(1) << (slot & 63));
  count_--;
}

void SlotSelection::list() {
  if (count_ * kListedShare >= slots_) return;
  listed_.reserve(count_);
  each_bit(bits_, [&](uint32_t slot) { listed_.push_back(slot); });
}

Result<std::shared_ptr<const Index::Selection>> VectorIndex::select(const IdSpan& ids, const Test& test,
                                                                    gyr_task* task) const {
  auto chosen = std::make_shared<SlotSelection>(selections_, runtime_->memory());
  uint64_t total = ids ? ids->size() : 0;
  {
    Gate::Reader reader(gate_);
    chosen->open(store_.slots());
    if (!ids) total = store_.slots();
  }
  set_phase(task, "filter", total);
  Array<int64_t> live{Aligned<int64_t>(runtime_->memory())};
  Array<uint8_t> keep{Aligned<uint8_t>(runtime_->memory())};
  live.reserve(kAtOnce);
  const uint64_t at_once = knobs::capacity(kAtOnce);
  for (uint64_t at = 0; at < total; at += at_once) {
    GYR_TRY(check(task));
    const uint64_t end = std::min(total, at + at_once);
    std::span<const int64_t> part;
    if (ids) {
      part = ids->subspan(at, end - at);
    } else {
      Gate::Reader reader(gate_);
      live.clear();
      for (uint64_t slot = at; slot < std::min<uint64_t>(end, store_.slots()); slot++)
        if (store_.is_alive(uint32_t(slot))) live.push_back(store_.ids[slot]);
      part = {live.data(), live.size()};
    }
    keep.assign(part.size(), 1);
    if (test && !part.empty()) GYR_TRY(test(part, keep.data()));  // beside writers, too: ids are looked up afterwards
    Gate::Reader reader(gate_);
    for (size_t i = 0; i < part.size(); i++) {
      if (!keep[i]) continue;
      if (uint32_t slot = store_.find(part[i]); slot != kNone) chosen->add(slot);
    }
    advance(task, end - at);
  }
  Gate::Reader reader(gate_);
  chosen->list();
  return std::shared_ptr<const Selection>(std::move(chosen));
}

void VectorIndex::fill_filter_info(const Selection& selection, gyr_index_filter_info* info) const {
  const auto& chosen = static_cast<const SlotSelection&>(selection);
  Gate::Reader reader(gate_);
  info->count = chosen.count();
  info->changes = chosen.changes();
  info->bytes = chosen.bytes();
}

}  // namespace gyr::index
