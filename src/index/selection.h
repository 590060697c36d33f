// Slots chosen by id, prepared once for many searches. Deleting an id takes its slot out of every selection, so that a
// slot that another id is given later lets nothing through; ids that come later are in none.
#pragma once

#include <atomic>
#include <mutex>

#include "index/index.h"
#include "index/store.h"

namespace gyr::index {

// A selection with fewer than one slot in so many keeps a list beside its bits.
constexpr uint64_t kListedShare = 64;

class SlotSelection;

// All selections of one index, which outlives it while there are some.
class Selections {
 public:
  void join(SlotSelection* s);
  void leave(SlotSelection* s);
  void forget(uint32_t slot);  // while no search runs
  void changed() { changes_.fetch_add(1, std::memory_order_relaxed); }
  uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }  // ids that came or went

 private:
  std::mutex mutex_;
  std::vector<SlotSelection*> all_;
  std::atomic<uint64_t> changes_{0};
};

// Written while it is made, beside searches that do not know it, and by deletes, beside none.
class SlotSelection final : public Index::Selection {
 public:
  SlotSelection(std::shared_ptr<Selections> home, std::pmr::memory_resource* memory);
  ~SlotSelection() override { home_->leave(this); }
  SlotSelection(const SlotSelection&) = delete;
  SlotSelection& operator=(const SlotSelection&) = delete;

  void open(uint32_t slots);
  void add(uint32_t slot);
  void forget(uint32_t slot);
  void list();  // once all are added

  bool belongs_to(const Selections& home) const { return home_.get() == &home; }
  const uint64_t* words() const { return bits_.data(); }
  uint64_t slots() const { return slots_; }
  uint64_t count() const { return count_; }
  // All of them, and slots that were deleted since; empty where they are many.
  std::span<const uint32_t> listed() const { return listed_; }
  uint64_t changes() const { return home_->changes() - made_at_; }
  uint64_t bytes() const { return bits_.capacity() * 8 + listed_.capacity() * 4; }

 private:
  bool has(uint32_t slot) const { return slot < slots_ && bits_[slot >> 6] >> (slot & 63) & 1; }
  std::shared_ptr<Selections> home_;
  Array<uint64_t> bits_;
  Array<uint32_t> listed_;
  uint64_t slots_ = 0, count_ = 0, made_at_;
};

}  // namespace gyr::index
