// What a graph walk looks at: an int8 code of every vector's difference from a common centre, with a scale of its own
// (Aguerrebere et al. 2023, LVQ). 64 dimensions are one cache line instead of four. Scores by codes only choose; what
// is returned is scored by the vectors themselves. The centre is the median of each dimension: a mean goes where a
// single long vector pulls it.
//
// With the centre m, x' = x - m and q' = q - m: |q - x|^2 = |q'|^2 + |x'|^2 - 2 q'x', and q x = q'x' + q m + x m - m m.
//
// Of long vectors only what lies along a few axes is coded, where that is most of them (Tepper et al. 2023, LeanVec);
// lengths stay those of whole vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>

#include "base/math.h"
#include "index/array.h"
#include "kernels/kernels.h"

namespace gyr::index {

constexpr uint32_t kNone = UINT32_MAX;  // no slot

// What of a vector is not in its code.
struct CodeNote {
  float scale = 0;    // what 1 stands for
  float squared = 0;  // |x'|^2, where coded of the code: distances of what lies near are then of what they tell apart
  float along = 0;    // x m - m m / 2
};

// A vector as codes are scored against.
struct CodeQuery {
  explicit CodeQuery(std::pmr::memory_resource* m)
      : values(Aligned<int16_t>(m)),
        shifted(Aligned<float>(m)),
        along(Aligned<float>(m)),
        bytes(Aligned<int8_t>(m)),
        dots(Aligned<int32_t>(m)) {}
  void reserve(uint32_t dim) {
    values.reserve(kernels::code_stride(dim));
    shifted.reserve(dim);
    along.reserve(dim);
    bytes.reserve(kernels::code_stride(dim));
    dots.reserve(dim);
  }
  Array<int16_t> values;
  Array<float> shifted, along;  // scratch: less the centre; that along the axes
  Array<int8_t> bytes;          // scratch
  Array<int32_t> dots;          // scratch
  CodeNote note;
};

// Codes of chosen slots in a row.
struct CodeBlock {
  explicit CodeBlock(std::pmr::memory_resource* m) : codes(Aligned<int8_t>(m)), notes(Aligned<CodeNote>(m)) {}
  Array<int8_t> codes;
  Array<CodeNote> notes;
};

// Floats of a row padded with zeros.
constexpr uint32_t padded_row(uint32_t dim) { return uint32_t(align_up(dim, 16)); }

// Vector i, which may be made in scratch [padded_row(dim)].
using RowReader = std::function<const float*(uint64_t i, float* scratch)>;

class Codes {
 public:
  // whole: of all dimensions, however many they are. products: walks score by products, not by distance.
  Codes(std::pmr::memory_resource* memory, uint32_t dim, const kernels::Ops* ops, bool whole = false,
        bool products = false);
  // Whether codes of such vectors are never along axes only.
  static bool always_whole(uint32_t dim) { return dim < kLongVector; }
  bool stays_whole() const { return whole_ || always_whole(dim_); }

  void reserve(uint64_t slots);
  void resize(uint64_t slots);
  // use(array, elements a slot), of what files hold, and of all.
  template <class Use>
  void each_kept_array(const Use& use) {
    use(&codes_, stride_);
    use(&notes_, 1);
  }
  template <class Use>
  void each_array(const Use& use) {
    each_kept_array(use);
    if (bare_) use(&steps_, 1);
  }
  // After the arrays came from a file.
  void find_steps();
  void write(uint32_t slot, const float* row) { write(slot, row, &writer_); }
  void write(uint32_t slot, const float* row, CodeQuery* scratch);

  // Whether so many vectors should have codes with another centre and other axes: seldom, and not when they are very
  // many.
  bool outgrown(uint64_t slots) const { return slots >= next_learning_; }
  // Takes centre and axes from n vectors, or from a file; before there are slots.
  void learn(const RowReader& rows, uint64_t n);
  std::span<const float> centre() const { return {centre_.data(), dim_}; }
  std::span<const float> axes() const { return axes_; }  // [axes, dim], or none: whole vectors are coded
  uint64_t next_learning() const { return next_learning_; }
  void set(std::span<const float> centre, std::span<const float> axes, uint64_t next_learning);
  void set_like(const Codes& other);  // with its centre and axes

  // Whole codes that are all that is kept of their vectors: centre and axes stay. settle() makes a note speak of what
  // the code stands for, not of what it was made from; copy() takes another's.
  void keep() { next_learning_ = UINT64_MAX; }
  const int8_t* code(uint32_t slot) const { return codes_.data() + uint64_t(slot) * stride_; }
  float scale(uint32_t slot) const { return notes_[slot].scale; }
  void settle(uint32_t slot, CodeQuery* scratch);
  void settle(uint32_t slot) { settle(slot, &writer_); }
  void copy(uint32_t slot, const Codes& from);

  uint64_t slots() const { return notes_.size(); }
  bool plausible() const;  // what goes with the codes, from a file
  // Whether only what lies along the axes is coded.
  bool partial() const { return !axes_.empty(); }
  float squared_length(uint32_t slot) const { return notes_[slot].squared + 2 * notes_[slot].along; }
  void prepare(const float* vector, CodeQuery* query) const;
  // The same from a slot's own code.
  void prepare(uint32_t slot, CodeQuery* query) const;
  // Always inlined: see kernels::ask_for_row.
  [[gnu::always_inline]] void prefetch(uint32_t slot, bool l2) const {
    const char* code = reinterpret_cast<const char*>(codes_.data()) + uint64_t(slot) * stride_;
    for (uint32_t b = 0; b < stride_; b += 64) __builtin_prefetch(code + b);
    if (bare_ && !l2)
      __builtin_prefetch(&steps_[slot]);
    else
      __builtin_prefetch(&notes_[slot]);
  }
  // out[i] = about query . row, or about minus their squared distance when `l2`. dots: [n], scratch.
  void score(const CodeQuery& query, bool l2, const uint32_t* at, size_t n, int32_t* dots, float* out) const;

  // How far the score of a slot by its code is off: the standard deviation that rounding leaves in it, where whole
  // vectors are coded. |q - c|^2 is off by 2 (q - x)(x - c), q c by q'(x - c).
  float doubt(const CodeQuery& query, bool l2, float score, uint32_t slot) const {
    const float squared = l2 ? 4 * std::max(-score, 0.0f) : query.note.squared;
    return std::sqrt(squared / 12) * notes_[slot].scale;
  }

  void gather(std::span<const uint32_t> slots, CodeBlock* block) const;
  // The mean of a block.
  void prepare_mean(const CodeBlock& block, CodeQuery* query) const;
  // The same as of slots, of a block's first n.
  void score(const CodeQuery& query, bool l2, const CodeBlock& block, size_t n, int32_t* dots, float* out) const;

  // What a walk by products, or by distance, reads of one.
  uint64_t bytes_each(bool l2) const { return stride_ + (bare_ && !l2 ? 1 : sizeof(CodeNote)); }
  uint64_t bytes() const {
    return codes_.capacity() + steps_.capacity() + notes_.capacity() * sizeof(CodeNote) +
           (centre_.capacity() + axes_.capacity()) * 4 + axis_codes_.capacity() + axis_scales_.capacity() * 4;
  }
  // Of whole codes.
  static uint64_t bytes_of(uint64_t slots, uint32_t dim, bool products = false) {
    return slots * (kernels::code_stride(dim) + sizeof(CodeNote) + products) + uint64_t(dim) * 4;
  }
  static uint64_t learning_memory(uint64_t slots, uint32_t dim, bool whole);  // at most

 private:
  static constexpr uint32_t kLongVector = 256;  // has axes
  static constexpr uint8_t kOther = 255;        // a step that is told by the note
  void choose_steps(std::span<float> scales);
  uint8_t step_of_scale(float scale) const;
  inline float scale_of(uint32_t slot) const;
  // What is coded of a vector: its difference from the centre, or that along the axes. Sets the note's other parts.
  const float* coded(const float* vector, CodeQuery* scratch) const;
  void code(const float* coded, CodeQuery* query) const;
  uint32_t dim_, coded_, stride_;  // of vectors; that are coded; bytes of a code
  const kernels::Ops* ops_;
  Array<int8_t> codes_;  // [slots, stride]
  Array<CodeNote> notes_;
  // Where the centre is nothing, a product needs nothing but the scale: one byte, of which many stay in the caches, and
  // a candidate is one line of memory instead of two. Scales are rounded up to 4 bits then, and told as the number of
  // such floats from the first one.
  Array<uint8_t> steps_;  // [slots] when bare_
  uint32_t first_step_ = 0;
  bool products_, bare_;
  Array<float> centre_, axes_;
  // The axes as they are used: 8 bits are as good as those of the codes, and quicker to multiply with.
  Array<int8_t> axis_codes_;  // [coded_, code_stride(dim_)]
  Array<float> axis_scales_;
  float half_squared_ = 0;  // m m / 2
  uint64_t next_learning_;
  bool whole_;
  CodeQuery writer_;
};

}  // namespace gyr::index
