// Ids of one type with their counts: what Categorify collects, and as a sorted list its vocabulary.
#pragma once

#include <bit>
#include <memory_resource>

#include "base/bytes.h"
#include "base/error.h"
#include "data/column.h"
#include "workflow/keys.h"

namespace gyr::workflow {

// Floats are ids by their bits; -0.0 is 0.0.
inline int64_t float_key(double v) { return std::bit_cast<int64_t>(v == 0 ? 0.0 : v); }

struct KeyCounts {
  KeyCounts(Physical type, std::pmr::memory_resource* memory)
      : physical(type), ints(memory), strings(memory), counts(memory) {}

  Physical physical;
  IntKeys ints;        // integers, and floats by their bits
  StringKeys strings;  // only one of the two is used
  std::pmr::vector<uint64_t> counts;

  size_t size() const { return counts.size(); }
  Status observe(const Column& in);
  void prepare(const KeyCounts& other);
  void add(const KeyCounts& other);
  // Value order: numbers ascending, strings by bytes.
  bool less(uint32_t a, uint32_t b) const;
  // Appends a value unless it is there already.
  bool push(const KeyCounts& from, size_t i);
  bool push(int64_t key, uint64_t count);
  bool push(std::string_view key, uint64_t count);

  void write(ByteWriter* out) const;
  // Refuses duplicates, zero counts, NaN and contradicting sizes.
  Status read(ByteReader* in);
};

}  // namespace gyr::workflow
