// The vectors of an index: rows by slot, ids, which slots are alive, and id -> slot. No locks; see vector_index.h.
#pragma once

#include <gyr/index.h>

#include <bit>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "index/codes.h"

namespace gyr::index {

constexpr uint32_t kMaxSlots = 1u << 31;  // the search pool keeps a flag in a slot's top bit
constexpr double kMaxSquaredNorm = 1e36;  // above it float scores could overflow to NaN

// Open addressing with linear probing and backward-shift deletion; insertion after reserve() cannot fail.
class IdMap {
 public:
  explicit IdMap(std::pmr::memory_resource* memory)
      : ids_(Aligned<int64_t>(memory)), slots_(Aligned<uint32_t>(memory)) {}
  void reserve(uint64_t n);
  uint32_t find(int64_t id) const;         // kNone when absent
  void insert(int64_t id, uint32_t slot);  // absent before
  void erase(int64_t id);                  // present before
  uint64_t bytes() const { return ids_.capacity() * 8 + slots_.capacity() * 4; }

 private:
  uint64_t home(int64_t id) const;
  Array<int64_t> ids_;
  Array<uint32_t> slots_;
};

class Store {
 public:
  // with_codes: for a graph.
  Store(std::pmr::memory_resource* memory, uint32_t dim, gyr_metric metric, bool with_codes);

  // Room for `more` new slots beyond the free ones; the only function that allocates, and it changes nothing else.
  void reserve(uint64_t more);
  // Writes a vector, already prepared, without making its slot alive; with its code.
  void write_row(uint32_t slot, const float* prepared);
  void write_coded_row(uint32_t slot, const float* prepared);
  uint32_t take_slot();           // the lowest free slot, or a new one; dead until publish()
  void give_back(uint32_t slot);  // taken and not published
  void publish(uint32_t slot, int64_t id);
  bool remove(int64_t id);

  // Copies a caller's vector into a padded row, normalised under cosine. False: not finite, too long, or zero under
  // cosine.
  bool prepare(const float* vector, float* row) const;
  Status refuse(const float* vector, const char* what, uint64_t number) const;

  const float* row(uint32_t slot) const { return rows.data() + uint64_t(slot) * stride; }
  uint32_t slots() const { return uint32_t(ids.size()); }
  bool is_alive(uint32_t slot) const { return alive[slot >> 6] >> (slot & 63) & 1; }
  uint64_t bytes() const;

  uint32_t dim, stride;
  gyr_metric metric;
  const kernels::Ops* ops;
  uint64_t count = 0;
  Array<float> rows;
  std::optional<Codes> codes;
  Array<int64_t> ids;
  Array<uint64_t> alive;
  Array<uint32_t> free_slots;  // min-heap
  IdMap map;
};

}  // namespace gyr::index
