#include "index/vectors.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/half.h"
#include "base/math.h"

namespace gyr::index {
namespace {

constexpr float kPastHalf = 65520;  // and larger: would round to infinity
constexpr float kRest = kernels::kRestSteps;

}  // namespace

Vectors::Vectors(std::pmr::memory_resource* memory, uint32_t dim, gyr_stored stored, Codes* walk,
                 const kernels::Ops* ops)
    : stride(padded_row(dim)),
      dim_(dim),
      code_stride_(uint32_t(kernels::code_stride(dim))),
      stored_(stored),
      ops_(ops),
      rows_(Aligned<uint8_t>(memory)),
      rests_(Aligned<int8_t>(memory)),
      codes_(walk),
      residual_(Aligned<float>(memory)) {
  if (!coded()) return;
  if (!walk || !Codes::always_whole(dim)) codes_ = &own_.emplace(memory, dim, ops, true);
  if (stored == GYR_STORED_INT16) residual_.resize(dim);
}

bool Vectors::holds(const float* vector) const {
  if (stored_ != GYR_STORED_FP16) return true;
  return std::all_of(vector, vector + dim_, [](float v) { return std::abs(v) < kPastHalf; });
}

void Vectors::reserve(uint64_t slots) {
  if (!coded()) rows_.reserve(slots * row_bytes());
  if (stored_ == GYR_STORED_INT16) rests_.reserve(slots * code_stride_);
  if (own_) own_->reserve(slots);
}

void Vectors::resize(uint64_t slots) {
  if (!coded()) rows_.resize(slots * row_bytes());
  if (stored_ == GYR_STORED_INT16) rests_.resize(slots * code_stride_);
  if (own_) own_->resize(slots);
}

void Vectors::write(uint32_t slot, const float* row) {
  if (coded()) {
    codes_->write(slot, row);
    codes_->settle(slot);
    if (stored_ == GYR_STORED_INT16) write_rest(slot, row);
    return;
  }
  uint8_t* to = rows_.data() + slot * row_bytes();
  if (stored_ == GYR_STORED_FP32) {
    std::memcpy(to, row, row_bytes());
    return;
  }
  auto* halves = reinterpret_cast<uint16_t*>(to);
  const bool fp16 = stored_ == GYR_STORED_FP16;
  for (uint32_t d = 0; d < dim_; d++) halves[d] = fp16 ? float_to_half(row[d]) : float_to_bfloat(row[d]);
}

void Vectors::write_rest(uint32_t slot, const float* row) {
  const int8_t* code = codes_->code(slot);
  const float scale = codes_->scale(slot);
  for (uint32_t d = 0; d < dim_; d++) residual_[d] = row[d] - centre()[d] - scale * float(code[d]);
  ops_->encode_codes(residual_.data(), dim_, scale > 0 ? kRest / scale : 0,
                     rests_.data() + slot * size_t(code_stride_));
}

const float* Vectors::read(uint32_t slot, const float* centre, float* scratch) const {
  if (!coded()) {
    const void* row = rows_.data() + slot * row_bytes();
    if (stored_ == GYR_STORED_FP32) return static_cast<const float*>(row);
    ops_->unpack_rows(row_type(), &row, 1, dim_, nullptr, scratch);
  } else if (stored_ == GYR_STORED_INT8) {
    const int8_t* code = codes_->code(slot);
    const float scale = codes_->scale(slot);
    for (uint32_t d = 0; d < dim_; d++) scratch[d] = centre[d] + scale * float(code[d]);
  } else {
    const int8_t *code = codes_->code(slot), *rest = rests_.data() + slot * size_t(code_stride_);
    const float unit = codes_->scale(slot) / kRest;
    for (uint32_t d = 0; d < dim_; d++) scratch[d] = centre[d] + unit * float(kernels::kRestSteps * code[d] + rest[d]);
  }
  return scratch;
}

// Codes of codes lose a little: only one centre is ever taken. Every vector is read by the centre that it was written
// with, and written by the new one.
void Vectors::recentre(uint64_t slots) {
  const auto old = codes_->centre();
  const Array<float> before(old.begin(), old.end(), residual_.get_allocator());
  Array<float> row(dim_, 0, residual_.get_allocator());
  codes_->learn([&](uint64_t slot, float* to) { return read(uint32_t(slot), before.data(), to); }, slots);
  codes_->keep();
  for (uint64_t s = 0; s < slots; s++) write(uint32_t(s), read(uint32_t(s), before.data(), row.data()));
}

void Vectors::prepare(const float* query, bool l2, VectorQuery* out) const {
  out->values = query;
  if (!coded()) return;
  out->padded.assign(code_stride_, 0);
  out->values = out->padded.data();
  const float* m = centre();
  for (uint32_t d = 0; d < dim_; d++) out->padded[d] = l2 ? query[d] - m[d] : query[d];
  out->along = l2 ? 0 : ops_->dot(query, m, dim_);
}

void Vectors::score_at(const VectorQuery& query, bool l2, const uint32_t* at, size_t n, float* out) const {
  if (stored_ == GYR_STORED_FP32) {
    const auto kernel = l2 ? ops_->l2_rows_at : ops_->dot_rows_at;
    return kernel(query.values, reinterpret_cast<const float*>(rows_.data()), at, n, dim_, stride, out);
  }
  if (!coded()) {
    const auto kernel = l2 ? ops_->l2_stored_at : ops_->dot_stored_at;
    return kernel(row_type(), query.values, rows_.data(), at, n, dim_, row_bytes(), out);
  }
  constexpr size_t kBlock = 256;
  float scales[kBlock];
  const auto kernel = l2 ? ops_->l2_coded_at : ops_->dot_coded_at;
  const kernels::CodedRows rows{codes_->code(0), stored_ == GYR_STORED_INT16 ? rests_.data() : nullptr, code_stride_};
  for (size_t first = 0; first < n; first += kBlock) {
    const size_t some = std::min(kBlock, n - first);
    for (size_t i = 0; i < some; i++) scales[i] = codes_->scale(at[first + i]);
    kernel(query.values, rows, scales, at + first, some, dim_, out + first);
    for (size_t i = 0; i < some; i++) out[first + i] += query.along;
  }
}

void Vectors::score(const VectorQuery& query, bool l2, uint32_t first, uint32_t n, float* out) const {
  if (stored_ == GYR_STORED_FP32) {
    const auto kernel = l2 ? ops_->l2_rows : ops_->dot_rows;
    const auto* rows = reinterpret_cast<const float*>(rows_.data()) + first * size_t(stride);
    return kernel(query.values, rows, n, dim_, stride, out);
  }
  constexpr uint32_t kBlock = 256;
  uint32_t at[kBlock];
  for (uint32_t done = 0; done < n; done += kBlock) {
    const uint32_t some = std::min(kBlock, n - done);
    std::iota(at, at + some, first + done);
    score_at(query, l2, at, some, out + done);
  }
}

// A padded row of floats is a prepared one; 16-bit rows begin at half a cache line.
uint64_t Vectors::bytes_of_row(uint32_t dim, gyr_stored stored) {
  return stored == GYR_STORED_FP32 ? uint64_t(padded_row(dim)) * 4 : align_up(uint64_t(dim) * 2, 32);
}

uint64_t Vectors::bytes() const {
  return rows_.capacity() + rests_.capacity() + residual_.capacity() * 4 + (own_ ? own_->bytes() : 0);
}

uint64_t Vectors::bytes_of(uint64_t slots, uint32_t dim, gyr_stored stored, bool with_graph) {
  if (stored != GYR_STORED_INT8 && stored != GYR_STORED_INT16) return slots * bytes_of_row(dim, stored);
  const uint64_t rests = stored == GYR_STORED_INT16 ? slots * kernels::code_stride(dim) + uint64_t(dim) * 4 : 0;
  return rests + (with_graph && Codes::always_whole(dim) ? 0 : Codes::bytes_of(slots, dim));
}

}  // namespace gyr::index
