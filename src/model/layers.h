// The differentiable pieces of the networks: dense layers, the dot interaction, and the optimizers that move them.
// All layer weights of a network lie in one flat array, so that gradients and optimizer state are arrays like it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "model/features.h"

namespace gyr {

struct Layer {
  uint32_t in = 0, out = 0;
  size_t weight = 0, bias = 0;  // offsets into the flat array: [in, out] row-major, [out]
  bool relu = false;
};

// Layers with relu between them; the last one is linear.
struct Mlp {
  std::vector<Layer> layers;

  // `size` is the flat array's size so far and grows by what the layers need.
  static Mlp make(uint32_t in, const std::vector<int64_t>& widths, size_t* size);
  uint32_t in() const { return layers.front().in; }
  uint32_t out() const { return layers.back().out; }
  size_t activations() const;  // floats per row that forward() writes
  // Glorot & Bengio 2010, uniform; biases 0.
  void initialise(Random& random, float* weights) const;
  // acts [m * activations()]: the outputs of all layers, one layer after the other. The last is the result.
  void forward(const float* weights, const float* x, size_t m, float* acts) const;
  const float* result(const float* acts, size_t m) const { return acts + (activations() - out()) * m; }
  // dy [m, out] is overwritten; grad += ; dx [m, in] = (nullable). work [2 * m * widest].
  void backward(const float* weights, const float* x, const float* acts, float* dy, size_t m, float* grad, float* dx,
                float* work) const;
  size_t widest() const;
};

// The same layers with packed weights, for serving.
class PackedMlp {
 public:
  PackedMlp(const Mlp& mlp, const float* weights, std::pmr::memory_resource* memory);
  size_t widest() const { return widest_; }
  uint32_t in() const { return layers_.front().in; }
  uint32_t out() const { return layers_.back().out; }
  // y [m, ldy]; work [2 * m * widest()].
  void run(const float* x, size_t ldx, size_t m, float* y, size_t ldy, float* work) const;

 private:
  std::vector<Layer> layers_;
  std::vector<size_t> packed_at_, bias_at_;
  Floats data_;
  size_t widest_ = 0;
};

// d(vectors) += of the strict upper triangle of the Gram matrix: dv_i += sum_j dz_ij v_j.
void interact_backward(const float* vectors, const float* dz, size_t f, size_t dim, float* dvectors);

// x /= |x|; returns |x| (at least 1e-12). The gradient: (dy - (dy . y) y) / |x|, written over dy.
float normalise(float* x, size_t n);
void normalise_backward(const float* y, float norm, size_t n, float* dy);

// Adam (Kingma & Ba 2015) or Adagrad (Duchi et al. 2011). Table rows are touched only when a batch touches them
// (lazy Adam: bias correction by the global step).
struct Optimizer {
  bool adam = true;
  float learning_rate = 1e-3f, l2 = 0;
  uint64_t step = 0;
  float corrected = 0;  // this step's learning rate
  void begin_step();
  // g is overwritten when l2 > 0.
  void update(float* w, float* m, float* v, float* g, size_t n) const;
};

// Gradients of one table's touched rows, in the order of first touch.
class RowGradients {
 public:
  RowGradients(int64_t rows, size_t dim, std::pmr::memory_resource* memory)
      : slot_(size_t(rows), 0, memory), touched_(memory), grads_(memory), dim_(dim) {}
  void add(uint32_t row, float scale, const float* grad);
  const float* of(uint32_t row) const { return slot_[row] ? grads_.data() + (slot_[row] - 1) * dim_ : nullptr; }
  // Updates the touched rows and forgets them.
  void apply(const Optimizer& optimizer, float* w, float* m, float* v);
  void clear();

 private:
  std::pmr::vector<uint32_t> slot_, touched_;
  Floats grads_;
  size_t dim_;
};

// The gradient of embed(): to the code's row, or a mean's share to each row that was pooled.
inline void scatter_codes(FeatureKind kind, std::span<const int32_t> codes, const float* grad, RowGradients* out) {
  if (kind == FeatureKind::kCode) return out->add(uint32_t(codes[0]), 1.0f, grad);
  size_t n = 0;
  for (int32_t code : codes) n += code != 0;
  for (int32_t code : codes)
    if (code != 0) out->add(uint32_t(code), 1.0f / float(n), grad);
}

}  // namespace gyr
