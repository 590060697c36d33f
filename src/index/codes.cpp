#include "index/codes.h"

#include <bit>
#include <cmath>

#include "index/axes.h"

namespace gyr::index {
namespace {

// Centres are taken of so many vectors, of 16 times as many, and so on; one of kLastLearning is a good one.
constexpr uint64_t kFirstLearning = 256, kLastLearning = 65536, kCentreSample = 4096, kScaleSample = 64;
// Axes: of so many vectors; so much of their squared lengths must lie along them.
constexpr uint32_t kMostAxes = 256;
constexpr uint64_t kAxesSample = 2048, kAxesSampleValues = 1 << 22;
constexpr float kCaptured = 0.93f;
// And so much of what vectors differ in from their nearest, beyond what lies along as many axes of any kind: groups far
// from each other lie along few axes, and their members may not.
constexpr float kTold = 0.5f;
constexpr uint64_t kToldProbes = 128, kToldSample = 8192;
// What notes of vectors of length 1e18 (Store::takes) stay below, and with them all scores below infinity.
constexpr float kMostScale = 1e17f, kMostSquared = 1e37f;
// A centre that holds no more than this share of the squared lengths is none, for products.
constexpr float kSmallCentre = 0.1f;
constexpr uint32_t kStepBits = 19;  // of a float, that scales do without

// What x is divided by so that its largest value becomes `most`. Values so small that this would overflow are zeros.
float step_of(const float* x, uint32_t n, float most, const kernels::Ops& ops) {
  const float step = ops.max_abs(x, n) / most;
  return step > 1e-36f ? step : 0;
}

// Values of codes only become less by that.
float rounded_up(float scale) {
  constexpr uint32_t rest = (1u << kStepBits) - 1;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(scale) + rest) & ~rest);
}

// How much of what some of n vectors differ in from their nearest among more of them lies along the first 1, 2, ..
// axes.
void share_told(const RowReader& rows, uint64_t n, uint32_t dim, const float* centre, const Array<float>& axes,
                const kernels::Ops& ops, Array<float>* told) {
  const auto memory = told->get_allocator();
  const uint64_t probes = std::min(n, kToldProbes), others = std::min(n, kToldSample), most = axes.size() / dim;
  Array<float> probe(probes * dim, 0, memory), row(dim, 0, memory), scratch(padded_row(dim), 0, memory);
  Array<float> least(probes, INFINITY, memory);
  Array<uint64_t> nearest(probes, 0, memory);
  const auto read = [&](uint64_t i, float* to) {
    const float* x = rows(i, scratch.data());
    for (uint32_t d = 0; d < dim; d++) to[d] = x[d] - centre[d];
  };
  for (uint64_t p = 0; p < probes; p++) read(p * n / probes, probe.data() + p * dim);
  for (uint64_t o = 0; o < others; o++) {
    const uint64_t i = o * n / others;
    read(i, row.data());
    const float length = ops.dot(row.data(), row.data(), dim);
    for (uint64_t p = 0; p < probes; p++) {
      const float distance = length - 2 * ops.dot(row.data(), probe.data() + p * dim, dim);
      if (distance < least[p] && i != p * n / probes) least[p] = distance, nearest[p] = i;
    }
  }
  told->assign(most, 0);
  double all = 0;
  for (uint64_t p = 0; p < probes; p++) {
    read(nearest[p], row.data());
    for (uint32_t d = 0; d < dim; d++) row[d] = probe[p * dim + d] - row[d];
    const float squared = ops.dot(row.data(), row.data(), dim);
    if (squared <= 0 || !std::isfinite(squared)) continue;  // one like it, which nothing has to tell
    all += 1;
    for (uint64_t a = 0; a < most; a++) {
      const float along = ops.dot(row.data(), axes.data() + a * dim, dim);
      (*told)[a] += along * along / squared;
    }
  }
  for (uint64_t a = 0; a < most; a++) {
    if (all > 0)
      (*told)[a] = float((*told)[a] / all) + (a > 0 ? (*told)[a - 1] : 0);
    else
      (*told)[a] = 1;
  }
}

// The axes along which most of the vectors lies, or none when that takes more than half of the dimensions. A long
// vector counts as one of twice the median length: a single one could be an axis of its own.
void learn_axes(const RowReader& rows, uint64_t n, uint32_t dim, const float* centre, const kernels::Ops& ops,
                Array<float>* axes) {
  axes->clear();
  const uint64_t sampled = std::min({n, kAxesSample, kAxesSampleValues / dim});
  const uint32_t most = uint32_t(std::min<uint64_t>({kMostAxes, dim / 2, sampled / 8})) / 64 * 64;
  if (most == 0) return;
  const auto memory = axes->get_allocator();
  Array<float> sample(sampled * dim, 0, memory), scratch(padded_row(dim), 0, memory);
  Array<float> lengths(sampled, 0, memory), captured(memory), told(memory);
  for (uint64_t i = 0; i < sampled; i++) {
    const float* row = rows(i * n / sampled, scratch.data());
    float* to = sample.data() + i * dim;
    for (uint32_t d = 0; d < dim; d++) to[d] = row[d] - centre[d];
    lengths[i] = std::sqrt(ops.dot(to, to, dim));
  }
  Array<float> sorted(lengths);
  std::nth_element(sorted.begin(), sorted.begin() + ptrdiff_t(sampled / 2), sorted.end());
  const float longest = 2 * sorted[sampled / 2];
  for (uint64_t i = 0; i < sampled; i++)
    if (lengths[i] > longest)
      for (uint32_t d = 0; d < dim; d++) sample[i * dim + d] *= longest / lengths[i];
  find_axes(sample.data(), sampled, dim, most, 1, ops, axes, &captured);
  share_told(rows, n, dim, centre, *axes, ops, &told);
  const auto enough = [&](uint32_t n) {
    const float chance = float(n) / float(dim);
    return captured[n - 1] >= kCaptured && told[n - 1] >= chance + kTold * (1 - chance);
  };
  uint32_t taken = 64;
  while (taken <= most && !enough(taken)) taken += 64;
  axes->resize(taken <= most ? uint64_t(taken) * dim : 0);
  axes->shrink_to_fit();
}

}  // namespace

Codes::Codes(std::pmr::memory_resource* memory, uint32_t dim, const kernels::Ops* ops, bool whole, bool products)
    : dim_(dim),
      coded_(dim),
      stride_(uint32_t(kernels::code_stride(dim))),
      ops_(ops),
      codes_(Aligned<int8_t>(memory)),
      notes_(Aligned<CodeNote>(memory)),
      steps_(Aligned<uint8_t>(memory)),
      products_(products),
      bare_(products),
      centre_(dim, 0, Aligned<float>(memory)),
      axes_(Aligned<float>(memory)),
      axis_codes_(Aligned<int8_t>(memory)),
      axis_scales_(Aligned<float>(memory)),
      next_learning_(kFirstLearning),
      whole_(whole),
      writer_(memory) {
  writer_.reserve(dim);
}

void Codes::reserve(uint64_t slots) {
  codes_.reserve(slots * stride_);
  notes_.reserve(slots);
  if (bare_) steps_.reserve(slots);
}

void Codes::resize(uint64_t slots) {
  codes_.resize(slots * stride_);
  notes_.resize(slots);
  if (bare_) steps_.resize(slots, kOther);
}

// So that steps tell what is up to a factor of some 200 less, or 300 more, than the median.
void Codes::choose_steps(std::span<float> scales) {
  if (scales.empty()) return;
  const auto median = scales.begin() + ptrdiff_t(scales.size() / 2);
  std::nth_element(scales.begin(), median, scales.end());
  const uint32_t middle = std::bit_cast<uint32_t>(*median) >> kStepBits;
  first_step_ = middle > kOther / 2 ? middle - kOther / 2 : 0;
}

uint8_t Codes::step_of_scale(float scale) const {
  const auto bits = std::bit_cast<uint32_t>(scale);
  const uint32_t step = (bits >> kStepBits) - first_step_;
  return bits % (1u << kStepBits) == 0 && step < kOther ? uint8_t(step) : kOther;
}

inline float Codes::scale_of(uint32_t slot) const {
  const uint32_t step = steps_[slot];
  return step == kOther ? notes_[slot].scale : std::bit_cast<float>((first_step_ + step) << kStepBits);
}

void Codes::find_steps() {
  if (!bare_) return;
  float scales[kScaleSample];
  const uint64_t n = notes_.size(), some = std::min(n, kScaleSample);
  for (uint64_t i = 0; i < some; i++) {
    const float scale = notes_[i * n / some].scale;
    scales[i] = scale >= 0 && scale <= kMostScale ? scale : 0;  // a damaged file's may be NaN, which has no order
  }
  choose_steps({scales, some});
  steps_.resize(notes_.size());
  for (uint64_t i = 0; i < notes_.size(); i++) steps_[i] = step_of_scale(notes_[i].scale);
}

const float* Codes::coded(const float* vector, CodeQuery* q) const {
  q->shifted.resize(dim_);
  for (uint32_t d = 0; d < dim_; d++) q->shifted[d] = vector[d] - centre_[d];
  q->note.squared = ops_->dot(q->shifted.data(), q->shifted.data(), dim_);
  q->note.along = ops_->dot(vector, centre_.data(), dim_) - half_squared_;
  if (!partial()) return q->shifted.data();
  q->along.resize(coded_);
  const size_t stride = kernels::code_stride(dim_);
  const float step = step_of(q->shifted.data(), dim_, 127, *ops_);
  q->bytes.assign(stride, 0);
  ops_->encode_codes(q->shifted.data(), dim_, step > 0 ? 1 / step : 0, q->bytes.data());
  q->dots.resize(coded_);
  ops_->dot_bytes(q->bytes.data(), axis_codes_.data(), coded_, stride, q->dots.data());
  for (uint32_t i = 0; i < coded_; i++) q->along[i] = float(q->dots[i]) * (step * axis_scales_[i]);
  return q->along.data();
}

void Codes::write(uint32_t slot, const float* row, CodeQuery* scratch) {
  const float* values = coded(row, scratch);
  CodeNote& note = scratch->note;
  note.scale = step_of(values, coded_, 127, *ops_);
  if (bare_) note.scale = rounded_up(note.scale);
  int8_t* code = codes_.data() + uint64_t(slot) * stride_;
  ops_->encode_codes(values, coded_, note.scale > 0 ? 1 / note.scale : 0, code);
  int32_t product;
  ops_->dot_bytes(code, code, 1, stride_, &product);
  const float left_out = partial() ? std::max(0.0f, note.squared - ops_->dot(values, values, coded_)) : 0;
  note.squared = float(product) * note.scale * note.scale + left_out;
  notes_[slot] = note;
  if (bare_) steps_[slot] = step_of_scale(note.scale);
}

void Codes::learn(const RowReader& rows, uint64_t n) {
  if (products_) steps_.reserve(notes_.capacity());  // nothing has changed yet if there is no memory
  const uint64_t sampled = std::min(n, kCentreSample);
  const auto memory = centre_.get_allocator();
  Array<float> scratch(padded_row(dim_), 0, memory), sample(memory);
  constexpr uint32_t kAtOnce = 64;  // dimensions
  sample.resize(sampled * std::min(dim_, kAtOnce));
  for (uint32_t first = 0; first < dim_; first += kAtOnce) {
    const uint32_t some = std::min(kAtOnce, dim_ - first);
    for (uint64_t i = 0; i < sampled; i++) {
      const float* row = rows(i * n / sampled, scratch.data());
      for (uint32_t d = 0; d < some; d++) sample[d * sampled + i] = row[first + d];
    }
    for (uint32_t d = 0; d < some; d++) {
      const auto begin = sample.begin() + ptrdiff_t(d * sampled), middle = begin + ptrdiff_t(sampled / 2);
      std::nth_element(begin, middle, begin + ptrdiff_t(sampled));
      centre_[first + d] = *middle;
    }
  }
  if (products_ && n > 0) {
    float lengths[kScaleSample], scales[kScaleSample];
    const uint64_t some = std::min(n, kScaleSample);
    for (uint64_t i = 0; i < some; i++) {
      const float* row = rows(i * n / some, scratch.data());
      lengths[i] = ops_->dot(row, row, dim_);
      scales[i] = step_of(row, dim_, 127, *ops_);
    }
    choose_steps({scales, some});
    std::nth_element(lengths, lengths + some / 2, lengths + some);
    if (ops_->dot(centre_.data(), centre_.data(), dim_) <= kSmallCentre * lengths[some / 2])
      std::fill(centre_.begin(), centre_.end(), 0.0f);
  }
  if (!stays_whole()) learn_axes(rows, n, dim_, centre_.data(), *ops_, &axes_);
  uint64_t next = kFirstLearning;
  while (next <= n) next *= 16;
  set(centre(), axes(), next);
}

void Codes::set(std::span<const float> centre, std::span<const float> axes, uint64_t next) {
  if (centre.data() != centre_.data()) centre_.assign(centre.begin(), centre.end());
  if (axes.data() != axes_.data()) axes_.assign(axes.begin(), axes.end());
  half_squared_ = ops_->dot(centre_.data(), centre_.data(), dim_) / 2;
  bare_ = products_ && std::all_of(centre_.begin(), centre_.end(), [](float x) { return x == 0; });
  if (bare_)
    steps_.assign(notes_.size(), kOther);
  else
    steps_ = Array<uint8_t>(steps_.get_allocator());
  next_learning_ = next > kLastLearning ? UINT64_MAX : next;
  coded_ = partial() ? uint32_t(axes_.size() / dim_) : dim_;
  stride_ = uint32_t(kernels::code_stride(coded_));
  if (!partial()) return;
  const size_t stride = kernels::code_stride(dim_);
  axis_codes_.assign(coded_ * stride, 0);
  axis_scales_.resize(coded_);
  for (uint32_t i = 0; i < coded_; i++) {
    const float* axis = axes_.data() + uint64_t(i) * dim_;
    axis_scales_[i] = step_of(axis, dim_, 127, *ops_);
    ops_->encode_codes(axis, dim_, axis_scales_[i] > 0 ? 1 / axis_scales_[i] : 0, axis_codes_.data() + i * stride);
  }
}

void Codes::set_like(const Codes& other) {
  set(other.centre(), other.axes(), other.next_learning());
  first_step_ = other.first_step_;
}

bool Codes::plausible() const {
  return std::all_of(notes_.begin(), notes_.end(), [](const CodeNote& note) {
    return note.scale >= 0 && note.scale <= kMostScale && note.squared >= 0 && note.squared <= kMostSquared &&
           std::abs(note.along) <= kMostSquared;
  });
}

void Codes::settle(uint32_t slot, CodeQuery* scratch) {
  CodeNote& note = notes_[slot];
  float* difference = (scratch->shifted.resize(dim_), scratch->shifted.data());
  for (uint32_t d = 0; d < dim_; d++) difference[d] = note.scale * float(code(slot)[d]);
  note.squared = ops_->dot(difference, difference, dim_);
  note.along = ops_->dot(difference, centre_.data(), dim_) + half_squared_;
}

void Codes::copy(uint32_t slot, const Codes& from) {
  std::copy_n(from.code(slot), stride_, codes_.data() + uint64_t(slot) * stride_);
  notes_[slot] = from.notes_[slot];
  if (bare_) steps_[slot] = step_of_scale(notes_[slot].scale);
}

uint64_t Codes::learning_memory(uint64_t slots, uint32_t dim, bool whole) {
  const uint64_t centre = (std::min(slots, kCentreSample) * std::min(dim, 64u) + padded_row(dim)) * 4;
  if (whole || always_whole(dim)) return centre;
  const uint64_t sampled = std::min({slots, kAxesSample, kAxesSampleValues / dim});
  return std::max(centre, (sampled * dim + uint64_t(dim) * (8 + kToldProbes) + sampled * 4) * 4);
}

void Codes::prepare(const float* vector, CodeQuery* q) const { code(coded(vector, q), q); }

void Codes::code(const float* values, CodeQuery* q) const {
  const int32_t most = kernels::code_query_max(coded_);
  q->note.scale = step_of(values, coded_, float(most), *ops_);
  q->values.assign(stride_, 0);
  ops_->encode_query(values, coded_, q->note.scale > 0 ? 1 / q->note.scale : 0, q->values.data(), most);
}

void Codes::prepare(uint32_t slot, CodeQuery* q) const {
  const int8_t* code = codes_.data() + uint64_t(slot) * stride_;
  q->values.assign(code, code + stride_);
  q->note = notes_[slot];
}

void Codes::prepare_mean(const CodeBlock& block, CodeQuery* q) const {
  q->along.assign(coded_, 0);
  q->note = {};
  const size_t n = block.notes.size();
  for (size_t i = 0; i < n; i++) {
    const int8_t* code = block.codes.data() + i * stride_;
    const float weight = block.notes[i].scale / float(n);
    for (uint32_t d = 0; d < coded_; d++) q->along[d] += weight * code[d];
    q->note.along += block.notes[i].along / float(n);
  }
  q->note.squared = ops_->dot(q->along.data(), q->along.data(), coded_);
  code(q->along.data(), q);
}

void Codes::gather(std::span<const uint32_t> slots, CodeBlock* block) const {
  block->codes.resize(slots.size() * stride_);
  block->notes.resize(slots.size());
  constexpr size_t kAhead = 8;
  for (size_t i = 0; i < slots.size(); i++) {
    if (i + kAhead < slots.size()) prefetch(slots[i + kAhead], true);
    std::copy_n(codes_.data() + uint64_t(slots[i]) * stride_, stride_, block->codes.data() + i * stride_);
    block->notes[i] = notes_[slots[i]];
  }
}

namespace {

float score_of(const CodeNote& q, const CodeNote& x, int32_t product, bool l2) {
  const float dot = float(product) * (q.scale * x.scale);
  return l2 ? 2 * dot - q.squared - x.squared : dot + q.along + x.along;
}

}  // namespace

void Codes::score(const CodeQuery& query, bool l2, const uint32_t* at, size_t n, int32_t* dots, float* out) const {
  ops_->dot_codes_at(query.values.data(), codes_.data(), at, n, coded_, stride_, dots);
  if (bare_ && !l2) {
    for (size_t i = 0; i < n; i++) out[i] = float(dots[i]) * (query.note.scale * scale_of(at[i]));
    return;
  }
  for (size_t i = 0; i < n; i++) out[i] = score_of(query.note, notes_[at[i]], dots[i], l2);
}

void Codes::score(const CodeQuery& query, bool l2, const CodeBlock& block, size_t n, int32_t* dots, float* out) const {
  ops_->dot_codes(query.values.data(), block.codes.data(), n, coded_, stride_, dots);
  for (size_t i = 0; i < n; i++) out[i] = score_of(query.note, block.notes[i], dots[i], l2);
}

}  // namespace gyr::index
