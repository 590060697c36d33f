#include "model/layers.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"

namespace gyr {

using kernels::Activation;

Mlp Mlp::make(uint32_t in, const std::vector<int64_t>& widths, size_t* size) {
  Mlp mlp;
  for (size_t i = 0; i < widths.size(); i++) {
    Layer l;
    l.in = in;
    l.out = uint32_t(widths[i]);
    l.relu = i + 1 < widths.size();
    l.weight = *size;
    l.bias = l.weight + size_t(l.in) * l.out;
    *size = l.bias + l.out;
    in = l.out;
    mlp.layers.push_back(l);
  }
  return mlp;
}

size_t Mlp::activations() const {
  size_t n = 0;
  for (const Layer& l : layers) n += l.out;
  return n;
}

size_t Mlp::widest() const {
  size_t n = 0;
  for (const Layer& l : layers) n = std::max<size_t>({n, l.in, l.out});
  return n;
}

void Mlp::initialise(Random& random, float* weights) const {
  for (const Layer& l : layers) {
    double limit = std::sqrt(6.0 / (double(l.in) + l.out));
    for (size_t i = 0; i < size_t(l.in) * l.out; i++) weights[l.weight + i] = float((random.uniform() * 2 - 1) * limit);
    std::fill_n(weights + l.bias, l.out, 0.0f);
  }
}

void Mlp::forward(const float* weights, const float* x, size_t m, float* acts) const {
  const auto& ops = kernels::best();
  for (const Layer& l : layers) {
    for (size_t r = 0; r < m; r++) std::copy_n(weights + l.bias, l.out, acts + r * l.out);
    ops.gemm_nn(x, weights + l.weight, acts, m, l.in, l.out, true);
    if (l.relu)
      for (size_t i = 0; i < m * l.out; i++) acts[i] = acts[i] > 0 ? acts[i] : 0.0f;
    x = acts;
    acts += m * l.out;
  }
}

void Mlp::backward(const float* weights, const float* x, const float* acts, float* dy, size_t m, float* grad, float* dx,
                   float* work) const {
  const auto& ops = kernels::best();
  std::vector<const float*> inputs(layers.size());
  const float* at = acts;
  for (size_t i = 0; i < layers.size(); i++) {
    inputs[i] = i == 0 ? x : at - m * layers[i - 1].out;
    at += m * layers[i].out;
  }
  float* spare[2] = {work, work + m * widest()};
  for (size_t i = layers.size(); i-- > 0;) {
    const Layer& l = layers[i];
    ops.gemm_tn(inputs[i], dy, grad + l.weight, l.in, m, l.out, true);
    for (size_t r = 0; r < m; r++) ops.axpy(1.0f, dy + r * l.out, grad + l.bias, l.out);
    float* below = i == 0 ? dx : spare[i & 1];
    if (!below) return;
    ops.gemm_nt(dy, weights + l.weight, below, m, l.out, l.in, false);
    if (i > 0)
      for (size_t k = 0; k < m * l.in; k++)
        if (!(inputs[i][k] > 0)) below[k] = 0;
    dy = below;
  }
}

PackedMlp::PackedMlp(const Mlp& mlp, const float* weights, std::pmr::memory_resource* memory)
    : layers_(mlp.layers), data_(memory), widest_(mlp.widest()) {
  size_t size = 0;
  for (const Layer& l : layers_) {
    packed_at_.push_back(size);
    bias_at_.push_back(size + kernels::packed_size(l.in, l.out));
    size = bias_at_.back() + align_up(l.out, 16);
  }
  data_.resize(size);
  for (size_t i = 0; i < layers_.size(); i++) {
    const Layer& l = layers_[i];
    kernels::pack_weights(weights + l.weight, l.in, l.out, data_.data() + packed_at_[i]);
    std::copy_n(weights + l.bias, l.out, data_.data() + bias_at_[i]);
  }
}

void PackedMlp::run(const float* x, size_t ldx, size_t m, float* y, size_t ldy, float* work) const {
  const auto& ops = kernels::best();
  float* spare[2] = {work, work + m * widest_};
  for (size_t i = 0; i < layers_.size(); i++) {
    const Layer& l = layers_[i];
    bool last = i + 1 == layers_.size();
    float* to = last ? y : spare[i & 1];
    size_t ld = last ? ldy : l.out;
    ops.gemm_packed(x, ldx, data_.data() + packed_at_[i], data_.data() + bias_at_[i], to, ld, m, l.in, l.out,
                    l.relu ? Activation::kRelu : Activation::kNone);
    x = to;
    ldx = ld;
  }
}

void interact_backward(const float* vectors, const float* dz, size_t f, size_t dim, float* dvectors) {
  for (size_t i = 0; i < f; i++)
    for (size_t j = i + 1; j < f; j++, dz++) {
      const float *vi = vectors + i * dim, *vj = vectors + j * dim;
      float *di = dvectors + i * dim, *dj = dvectors + j * dim;
      for (size_t c = 0; c < dim; c++) {
        di[c] += *dz * vj[c];
        dj[c] += *dz * vi[c];
      }
    }
}

float normalise(float* x, size_t n) {
  const auto& ops = kernels::best();
  float norm = std::max(std::sqrt(ops.dot(x, x, n)), 1e-12f);
  ops.scale(1.0f / norm, x, n);
  return norm;
}

void normalise_backward(const float* y, float norm, size_t n, float* dy) {
  float along = kernels::best().dot(dy, y, n);
  for (size_t c = 0; c < n; c++) dy[c] = (dy[c] - along * y[c]) / norm;
}

namespace {
constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kAdamEps = 1e-8f, kAdagradEps = 1e-10f;
}

void Optimizer::begin_step() {
  step++;
  double t = double(step);
  corrected = adam ? float(double(learning_rate) * std::sqrt(1 - std::pow(double(kBeta2), t)) /
                           (1 - std::pow(double(kBeta1), t)))
                   : learning_rate;
}

void Optimizer::update(float* w, float* m, float* v, float* g, size_t n) const {
  const auto& ops = kernels::best();
  if (l2 > 0) ops.axpy(l2, w, g, n);
  if (adam)
    ops.adam(w, m, v, g, n, corrected, kBeta1, kBeta2, kAdamEps);
  else
    ops.adagrad(w, v, g, n, corrected, kAdagradEps);
}

void RowGradients::add(uint32_t row, float scale, const float* grad) {
  uint32_t& slot = slot_[row];
  if (slot == 0) {
    grads_.resize(grads_.size() + dim_, 0.0f);
    touched_.push_back(row);
    slot = uint32_t(touched_.size());
  }
  float* to = grads_.data() + size_t(slot - 1) * dim_;
  for (size_t c = 0; c < dim_; c++) to[c] += scale * grad[c];
}

void RowGradients::apply(const Optimizer& optimizer, float* w, float* m, float* v) {
  for (size_t s = 0; s < touched_.size(); s++) {
    size_t at = size_t(touched_[s]) * dim_;
    optimizer.update(w + at, m ? m + at : nullptr, v + at, grads_.data() + s * dim_, dim_);
  }
  clear();
}

void RowGradients::clear() {
  for (uint32_t row : touched_) slot_[row] = 0;
  touched_.clear();
  grads_.clear();
}

}  // namespace gyr
