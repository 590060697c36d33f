#include "index/codes.h"

#include <cmath>

namespace gyr::index {
namespace {

// Centres are taken of so many vectors, of 16 times as many, and so on; one of kLastCentre is a good one.
constexpr uint64_t kFirstCentre = 256, kLastCentre = 65536, kCentreSample = 4096;

// What x is divided by so that its largest value becomes `most`. Values so small that this would overflow are zeros.
float step_of(const float* x, uint32_t n, float most) {
  float largest = 0;
  for (uint32_t i = 0; i < n; i++) largest = std::max(largest, std::abs(x[i]));
  const float step = largest / most;
  return step > 1e-36f ? step : 0;
}

}  // namespace

Codes::Codes(std::pmr::memory_resource* memory, uint32_t dim, const kernels::Ops* ops)
    : dim_(dim),
      stride_(uint32_t(kernels::code_stride(dim))),
      ops_(ops),
      codes_(Aligned<int8_t>(memory)),
      notes_(Aligned<CodeNote>(memory)),
      centre_(dim, 0, Aligned<float>(memory)),
      shifted_(dim, 0, Aligned<float>(memory)),
      next_centre_(kFirstCentre) {}

void Codes::reserve(uint64_t slots) {
  grow(&codes_, slots * stride_);
  grow(&notes_, slots);
}

void Codes::resize(uint64_t slots) {
  codes_.resize(slots * stride_);
  notes_.resize(slots);
}

CodeNote Codes::note_of(const float* vector, const float* shifted, float most) const {
  return {step_of(shifted, dim_, most), ops_->dot(shifted, shifted, dim_),
          ops_->dot(vector, centre_.data(), dim_) - half_squared_};
}

void Codes::write(uint32_t slot, const float* row) {
  for (uint32_t d = 0; d < dim_; d++) shifted_[d] = row[d] - centre_[d];
  const CodeNote note = note_of(row, shifted_.data(), 127);
  ops_->encode_codes(shifted_.data(), dim_, note.scale > 0 ? 1 / note.scale : 0,
                     codes_.data() + uint64_t(slot) * stride_);
  notes_[slot] = note;
}

void Codes::recentre(const float* rows, size_t stride, uint64_t slots) {
  const uint64_t n = std::min(slots, kCentreSample);
  Array<float> sample(n, 0, Aligned<float>(codes_.get_allocator().memory));
  for (uint32_t d = 0; d < dim_; d++) {
    for (uint64_t i = 0; i < n; i++) sample[i] = rows[i * slots / n * stride + d];
    std::nth_element(sample.begin(), sample.begin() + ptrdiff_t(n / 2), sample.end());
    centre_[d] = sample[n / 2];
  }
  uint64_t next = kFirstCentre;
  while (next <= slots) next *= 16;
  set_centre({centre_.data(), dim_}, next);
  for (uint64_t s = 0; s < slots; s++) write(uint32_t(s), rows + s * stride);
}

void Codes::set_centre(std::span<const float> centre, uint64_t next) {
  std::copy(centre.begin(), centre.end(), centre_.begin());
  half_squared_ = ops_->dot(centre_.data(), centre_.data(), dim_) / 2;
  next_centre_ = next > kLastCentre ? UINT64_MAX : next;
}

void Codes::prepare(const float* vector, CodeQuery* query) const {
  const int32_t most = kernels::code_query_max(dim_);
  query->values.assign(stride_, 0);
  query->shifted.resize(dim_);
  for (uint32_t d = 0; d < dim_; d++) query->shifted[d] = vector[d] - centre_[d];
  query->note = note_of(vector, query->shifted.data(), float(most));
  ops_->encode_query(query->shifted.data(), dim_, query->note.scale > 0 ? 1 / query->note.scale : 0,
                     query->values.data(), most);
}

void Codes::prepare(uint32_t slot, CodeQuery* query) const {
  const int8_t* code = codes_.data() + uint64_t(slot) * stride_;
  query->values.assign(code, code + stride_);
  query->note = notes_[slot];
}

void Codes::score(const CodeQuery& query, bool l2, const uint32_t* at, size_t n, int32_t* dots, float* out) const {
  ops_->dot_codes_at(query.values.data(), codes_.data(), at, n, dim_, stride_, dots);
  const CodeNote& q = query.note;
  for (size_t i = 0; i < n; i++) {
    const CodeNote& x = notes_[at[i]];
    const float dot = float(dots[i]) * (q.scale * x.scale);
    out[i] = l2 ? 2 * dot - q.squared - x.squared : dot + q.along + x.along;
  }
}

}  // namespace gyr::index
