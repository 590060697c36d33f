// What a graph walk looks at: an int8 code of every vector's difference from a common centre, with a scale of its own
// (Aguerrebere et al. 2023, LVQ). 64 dimensions are one cache line instead of four. Scores by codes only choose; what
// is returned is scored by the vectors themselves. The centre is the median of each dimension: a mean goes where a
// single long vector pulls it.
//
// With the centre m, x' = x - m and q' = q - m: |q - x|^2 = |q'|^2 + |x'|^2 - 2 q'x', and q x = q'x' + q m + x m - m m.
#pragma once

#include <cstdint>
#include <span>

#include "index/array.h"
#include "kernels/kernels.h"

namespace gyr::index {

// What of a vector is not in its code.
struct CodeNote {
  float scale = 0;    // what 1 stands for
  float squared = 0;  // |x'|^2
  float along = 0;    // x m - m m / 2
};

// A vector as codes are scored against.
struct CodeQuery {
  explicit CodeQuery(std::pmr::memory_resource* m) : values(Aligned<int16_t>(m)), shifted(Aligned<float>(m)) {}
  void reserve(uint32_t dim) {
    values.reserve(kernels::code_stride(dim));
    shifted.reserve(dim);
  }
  Array<int16_t> values;
  Array<float> shifted;  // scratch
  CodeNote note;
};

class Codes {
 public:
  Codes(std::pmr::memory_resource* memory, uint32_t dim, const kernels::Ops* ops);

  void reserve(uint64_t slots);
  void resize(uint64_t slots);
  void write(uint32_t slot, const float* row);

  // Whether so many vectors should have another centre than fewer had: seldom, and not when they are very many.
  // recentre() takes theirs and writes all codes again. rows: [slots, stride].
  bool outgrown(uint64_t slots) const { return slots >= next_centre_; }
  void recentre(const float* rows, size_t stride, uint64_t slots);
  std::span<const float> centre() const { return {centre_.data(), dim_}; }
  uint64_t next_centre() const { return next_centre_; }
  void set_centre(std::span<const float> centre, uint64_t next);

  void prepare(const float* vector, CodeQuery* query) const;
  // The same from a slot's own code.
  void prepare(uint32_t slot, CodeQuery* query) const;
  // Always inlined: see kernels::ask_for_row.
  [[gnu::always_inline]] void prefetch(uint32_t slot) const {
    const char* code = reinterpret_cast<const char*>(codes_.data()) + uint64_t(slot) * stride_;
    for (uint32_t b = 0; b < stride_; b += 64) __builtin_prefetch(code + b);
    __builtin_prefetch(&notes_[slot]);
  }
  // out[i] = about query . row, or about minus their squared distance when `l2`. dots: [n], scratch.
  void score(const CodeQuery& query, bool l2, const uint32_t* at, size_t n, int32_t* dots, float* out) const;
  uint64_t bytes() const {
    return codes_.capacity() + notes_.capacity() * sizeof(CodeNote) + (centre_.capacity() + shifted_.capacity()) * 4;
  }

 private:
  CodeNote note_of(const float* vector, const float* shifted, float most) const;
  const uint32_t dim_, stride_;
  const kernels::Ops* ops_;
  Array<int8_t> codes_;  // [slots, stride]
  Array<CodeNote> notes_;
  Array<float> centre_, shifted_;  // shifted_: the writer's scratch
  float half_squared_ = 0;         // m m / 2
  uint64_t next_centre_;
};

}  // namespace gyr::index
