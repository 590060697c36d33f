// The vectors of an index: rows by slot, ids, which slots are alive, and id -> slot. No locks; see vector_index.h.
#pragma once

#include <gyr/index.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "index/codes.h"
#include "index/id_map.h"
#include "index/vectors.h"

namespace gyr::index {

constexpr uint32_t kMaxSlots = 1u << 31;  // a walk's pool keeps a mark beside a slot
constexpr double kMaxSquaredNorm = 1e36;  // above it float scores could overflow to NaN

class Store {
 public:
  // with_codes: for a graph.
  Store(std::pmr::memory_resource* memory, uint32_t dim, gyr_metric metric, gyr_stored stored, bool with_codes);

  // Room for so many slots, exactly, before there are readers. Beside them: room.cpp. Nothing else allocates what
  // stays.
  void reserve(uint64_t total);
  // Writes a vector, already prepared, without making its slot alive; with the code that walks see.
  void write_row(uint32_t slot, const float* prepared) { vectors.write(slot, prepared); }
  void write_coded_row(uint32_t slot, const float* prepared);
  void write_code(uint32_t slot);  // of a vector that is there
  uint32_t take_slot();            // the lowest free slot, or a new one; dead until publish()
  void give_back(uint32_t slot);   // a dead one that was taken; nothing if it is free
  void publish(uint32_t slot, int64_t id);
  void remove(uint32_t slot);
  // Takes what is alive for what is in use; the rest is free.
  void adopt_bits();
  // No slot from here on is alive or taken.
  uint64_t used_slots() const;
  // Forgets the slots from `slots` on, which nothing refers to. Allocates nothing.
  void cut(uint64_t slots);

  // False of a caller's vector that is not finite, too long, or zero under cosine.
  bool takes(const float* vector) const;
  // Copies a caller's vector into a padded row, normalised under cosine. False: is not taken.
  bool prepare(const float* vector, float* row) const;
  Status refuse(const float* vector, const char* what, uint64_t number) const;
  Status refuse_range(const float* vector, const char* what, uint64_t number) const;  // what `vectors` cannot hold

  // The vector as it is kept; scratch [dim] is for precisions that are not float.
  const float* read(uint32_t slot, float* scratch) const { return vectors.read(slot, scratch); }
  uint32_t find(int64_t id) const { return map.find(id, ids.data()); }
  uint32_t slots() const { return uint32_t(ids.size()); }
  uint64_t free_slots() const { return free_count_.load(std::memory_order_relaxed); }
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  // The writer's beside deletions, too, as count() and free_slots() are.
  uint64_t alive_word(uint64_t w) const {
    return std::atomic_ref(const_cast<uint64_t&>(alive[w])).load(std::memory_order_relaxed);
  }
  bool is_alive(uint32_t slot) const { return alive_word(slot >> 6) >> (slot & 63) & 1; }
  Array<uint64_t> alive_now() const;
  // use(slot) of those that were alive and are not now.
  template <class Use>
  void each_gone(const Array<uint64_t>& were, const Use& use) const {
    for (uint64_t w = 0; w < were.size(); w++)
      each_bit(std::array{were[w] & ~alive_word(w)}, [&](uint32_t bit) { use(uint32_t(w * 64) + bit); });
  }
  bool l2() const { return metric == GYR_METRIC_L2; }
  Codes empty_codes(std::pmr::memory_resource* memory) const {
    return Codes(memory, dim, ops, false, metric == GYR_METRIC_IP);
  }
  // Codes are scored by distance under cosine, too: vectors are of length 1, and of near ones that tells more.
  bool codes_l2() const { return metric != GYR_METRIC_IP; }
  uint64_t id_bytes() const;  // ids, map and bitmaps
  static uint64_t id_bytes_of(uint64_t slots, uint32_t dim);
  // use(array, elements a slot) of rows and codes, of what files hold, and of all.
  template <class Use>
  void each_kept_array(const Use& use) {
    vectors.each_array(use);
    if (codes) codes->each_kept_array(use);
  }
  template <class Use>
  void each_kept_array(const Use& use) const {
    const_cast<Store*>(this)->each_kept_array([&](const auto* array, uint64_t each) { use(array, each); });
  }
  template <class Use>
  void each_array(const Use& use) {
    vectors.each_array(use);
    if (codes) codes->each_array(use);
  }
  // use(array) of bits by slot.
  template <class Use>
  void each_bits(const Use& use) {
    use(&alive);
    use(&free_);
  }

  const uint32_t dim;
  const gyr_metric metric;
  const gyr_stored stored;
  const kernels::Ops* const ops;
  std::optional<Codes> codes;
  Vectors vectors;
  const uint32_t stride;  // floats of a prepared row
  Array<int64_t> ids;     // of the dead: anything
  Array<uint64_t> alive;
  IdMap map;

 private:
  Array<uint64_t> free_;  // bits of slots that were taken and given back
  std::atomic<uint64_t> count_{0}, free_count_{0};
  uint64_t first_free_ = 0;  // no word before it has a bit
  Array<float> scratch_;     // the writer's
};

}  // namespace gyr::index
