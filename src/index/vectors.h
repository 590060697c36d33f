// The vectors of an index by slot, in the precision that it keeps them in, and their scores as they are kept.
//
// INT8 keeps nothing but codes of all dimensions (index/codes.h): those that the graph walks on where they are such,
// else codes of its own. INT16 keeps beside each a second int8 code of what the first left over (two-level LVQ,
// Aguerrebere et al. 2023), whose step is 1/254 of the first's.
#pragma once

#include <gyr/index.h>

#include <optional>

#include "index/codes.h"

namespace gyr::index {

// A query as kept vectors are scored against.
struct VectorQuery {
  explicit VectorQuery(std::pmr::memory_resource* m) : padded(Aligned<float>(m)) {}
  const float* values = nullptr;  // what prepare() was given, or `padded`
  Array<float> padded;            // coded vectors: up to their stride; L2: less the centre
  float along = 0;                // coded vectors: its product with the centre
};

class Vectors {
 public:
  // walk: the codes of the graph over these vectors; null = none.
  Vectors(std::pmr::memory_resource* memory, uint32_t dim, gyr_stored stored, Codes* walk, const kernels::Ops* ops);

  bool coded() const { return stored_ == GYR_STORED_INT8 || stored_ == GYR_STORED_INT16; }
  bool share_codes() const { return coded() && !own_; }
  // Whether the precision's range holds a vector.
  bool holds(const float* vector) const;

  void reserve(uint64_t slots);
  void resize(uint64_t slots);  // of shared codes: the owner does
  // use(array, elements a slot), but for shared codes.
  template <class Use>
  void each_array(const Use& use) {
    if (!coded()) use(&rows_, row_bytes());
    if (stored_ == GYR_STORED_INT16) use(&rests_, code_stride_);
    if (own_) own_->each_kept_array(use);
  }
  // row: padded with zeros to `stride`.
  void write(uint32_t slot, const float* row);
  // The vector as it is kept, where it lies or in scratch [dim].
  const float* read(uint32_t slot, float* scratch) const { return read(slot, centre(), scratch); }

  // Coded vectors only: see Codes::outgrown().
  bool outgrown(uint64_t slots) const { return coded() && codes_->outgrown(slots); }
  void recentre(uint64_t slots);
  // Before there are any: learns from n others.
  void learn(const RowReader& rows, uint64_t n) {
    const bool enough = codes_->outgrown(n);
    codes_->learn(rows, n);
    if (enough) codes_->keep();
  }

  void prepare(const float* query, bool l2, VectorQuery* out) const;
  // out[i] = query . vector at[i], or minus their squared distance when `l2`.
  void score_at(const VectorQuery& query, bool l2, const uint32_t* at, size_t n, float* out) const;
  // The same of slots [first, first + n).
  void score(const VectorQuery& query, bool l2, uint32_t first, uint32_t n, float* out) const;

  Codes* own_codes() { return own_ ? &*own_ : nullptr; }
  const Codes* own_codes() const { return own_ ? &*own_ : nullptr; }

  uint64_t bytes() const;
  static uint64_t bytes_of(uint64_t slots, uint32_t dim, gyr_stored stored, bool with_graph);

  const uint32_t stride;  // floats of a padded row

 private:
  const float* centre() const { return coded() ? codes_->centre().data() : nullptr; }
  const float* read(uint32_t slot, const float* centre, float* scratch) const;
  void write_rest(uint32_t slot, const float* row);
  static uint64_t bytes_of_row(uint32_t dim, gyr_stored stored);
  size_t row_bytes() const { return bytes_of_row(dim_, stored_); }
  kernels::RowType row_type() const {
    return stored_ == GYR_STORED_FP16 ? kernels::RowType::kFloat16 : kernels::RowType::kBfloat16;
  }

  const uint32_t dim_, code_stride_;
  const gyr_stored stored_;
  const kernels::Ops* ops_;
  Array<uint8_t> rows_;  // [slots, row_bytes], none when coded
  Array<int8_t> rests_;  // [slots, code_stride], INT16 only
  std::optional<Codes> own_;
  Codes* codes_;           // when coded: own_ or the graph's
  Array<float> residual_;  // the writer's scratch
};

}  // namespace gyr::index
