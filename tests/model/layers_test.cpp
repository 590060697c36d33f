// The differentiable pieces against finite differences, and the published vectors of interaction, loss and optimizers.
#include "model/layers.h"

#include "kernels/kernels.h"
#include "model/two_tower.h"
#include "tests/model/common.h"

namespace gyr {
namespace {

using testing::check_gradient;
using testing::normals;

TEST(Mlp, GradientsOfWeightsAndInputs) {
  for (auto widths : {std::vector<int64_t>{3}, {5, 2}, {7, 6, 1}}) {
    size_t size = 0, m = 5;
    Mlp mlp = Mlp::make(4, widths, &size);
    Random random(7);
    std::vector<float> w(size), x = normals(random, m * 4), target = normals(random, m * mlp.out());
    mlp.initialise(random, w.data());
    for (const Layer& l : mlp.layers)  // biases off zero, so that no relu sits on its edge
      for (size_t i = 0; i < l.out; i++) w[l.bias + i] = float(random.normal() * 0.3);
    std::vector<float> acts(m * mlp.activations());
    auto loss = [&] {  // sum of target . y: its gradient is the target
      mlp.forward(w.data(), x.data(), m, acts.data());
      double sum = 0;
      for (size_t i = 0; i < target.size(); i++) sum += double(target[i]) * mlp.result(acts.data(), m)[i];
      return sum;
    };
    loss();
    std::vector<float> grad(size, 0.0f), dx(x.size()), dy = target, work(2 * m * mlp.widest());
    mlp.backward(w.data(), x.data(), acts.data(), dy.data(), m, grad.data(), dx.data(), work.data());
    check_gradient("weights", w.data(), grad.data(), size, loss, 1e-4, 1e-2);
    check_gradient("inputs", x.data(), dx.data(), x.size(), loss, 1e-4, 1e-2);
  }
}

TEST(Mlp, GradientsAreAdded) {
  size_t size = 0;
  Mlp mlp = Mlp::make(1, {1}, &size);
  float w[2] = {2, 1}, x = 3, acts, dy = 5, grad[2] = {100, 200}, work[2];
  mlp.forward(w, &x, 1, &acts);
  EXPECT_EQ(acts, 7);
  mlp.backward(w, &x, &acts, &dy, 1, grad, nullptr, work);
  EXPECT_EQ(grad[0], 115);
  EXPECT_EQ(grad[1], 205);
}

TEST(Mlp, InitialisationIsGlorotUniformWithZeroBiases) {
  size_t size = 0;
  Mlp mlp = Mlp::make(100, {50}, &size);
  std::vector<float> w(size, 9.0f);
  Random random(1);
  mlp.initialise(random, w.data());
  double limit = std::sqrt(6.0 / 150), squares = 0;
  for (size_t i = 0; i < 5000; i++) {
    ASSERT_LE(std::fabs(w[i]), limit);
    squares += double(w[i]) * w[i];
  }
  EXPECT_NEAR(squares / 5000, limit * limit / 3, 0.05 * limit * limit);
  for (size_t i = 5000; i < size; i++) EXPECT_EQ(w[i], 0);
}

TEST(PackedMlp, EqualsTheTrainingLayers) {
  size_t size = 0, m = 70;
  Mlp mlp = Mlp::make(13, {33, 9, 2}, &size);
  Random random(3);
  std::vector<float> w(size), x = normals(random, m * 13);
  mlp.initialise(random, w.data());
  std::vector<float> acts(m * mlp.activations()), y(m * 5, -1.0f);
  mlp.forward(w.data(), x.data(), m, acts.data());
  PackedMlp packed(mlp, w.data(), std::pmr::get_default_resource());
  std::vector<float> work(2 * m * packed.widest());
  packed.run(x.data(), 13, m, y.data(), 5, work.data());
  for (size_t r = 0; r < m; r++) {
    for (size_t c = 0; c < 2; c++) ASSERT_NEAR(y[r * 5 + c], mlp.result(acts.data(), m)[r * 2 + c], 1e-4);
    EXPECT_EQ(y[r * 5 + 2], -1.0f);  // nothing between the rows is touched
  }
}

TEST(Interaction, OrderIsDenseFirstStrictUpperTriangle) {
  const auto& ops = kernels::best();
  float three[6] = {1, 2, 3, 4, 5, 6}, z[6];  // d, a, b
  ops.interact(three, 3, 2, z);
  EXPECT_EQ(std::vector<float>(z, z + 3), (std::vector<float>{11, 17, 39}));  // da, db, ab
  float four[8] = {1, 2, 3, 4, 5, 6, 7, 9};  // d, a, b, c: from four on upper and lower triangle differ
  ops.interact(four, 4, 2, z);
  EXPECT_EQ(std::vector<float>(z, z + 6), (std::vector<float>{11, 17, 25, 39, 57, 89}));  // da db dc ab ac bc
}

TEST(Interaction, Gradient) {
  size_t f = 5, d = 3, pairs = f * (f - 1) / 2;
  Random random(2);
  std::vector<float> v = normals(random, f * d), dz = normals(random, pairs), dv(f * d, 0.0f), z(pairs);
  interact_backward(v.data(), dz.data(), f, d, dv.data());
  check_gradient("vectors", v.data(), dv.data(), v.size(), [&] {
    kernels::best().interact(v.data(), f, d, z.data());
    double sum = 0;
    for (size_t i = 0; i < pairs; i++) sum += double(dz[i]) * z[i];
    return sum;
  });
}

TEST(Normalise, Gradient) {
  Random random(5);
  std::vector<float> x = normals(random, 6), target = normals(random, 6), y = x, dy = target;
  float norm = normalise(y.data(), 6);
  normalise_backward(y.data(), norm, 6, dy.data());
  check_gradient("x", x.data(), dy.data(), 6, [&] {
    std::vector<float> unit = x;
    normalise(unit.data(), 6);
    double sum = 0;
    for (size_t i = 0; i < 6; i++) sum += double(target[i]) * unit[i];
    return sum;
  });
  std::vector<float> zero(4, 0.0f);
  normalise(zero.data(), 4);
  EXPECT_EQ(zero, std::vector<float>(4, 0.0f));
}

TEST(EmbeddingBag, MeanWithoutPadAndItsGradient) {
  size_t d = 2;
  Random random(4);
  std::vector<float> table = normals(random, 6 * d), g = normals(random, d), out(d);
  for (const std::vector<int32_t>& codes : {std::vector<int32_t>{}, {0, 0}, {3}, {1, 0, 5}, {2, 2, 4}}) {
    auto loss = [&] {
      embed(FeatureKind::kCodes, table.data(), d, std::span<const int32_t>(codes), out.data());
      return double(g[0]) * out[0] + double(g[1]) * out[1];
    };
    double n = 0, expected[2] = {0, 0};
    for (int32_t c : codes)
      if (c) n++, expected[0] += table[size_t(c) * d], expected[1] += table[size_t(c) * d + 1];
    loss();
    for (size_t c = 0; c < d; c++) EXPECT_NEAR(out[c], n ? expected[c] / n : 0, 1e-6);
    RowGradients rows(6, d, std::pmr::get_default_resource());
    scatter_codes(FeatureKind::kCodes, codes, g.data(), &rows);
    std::vector<float> grad(table.size(), 0.0f);
    for (uint32_t r = 0; r < 6; r++)
      if (rows.of(r)) std::copy_n(rows.of(r), d, grad.data() + r * d);
    check_gradient("table", table.data(), grad.data(), table.size(), loss);
  }
  // A single code is its row, the pad's row too.
  int32_t pad = 0;
  embed(FeatureKind::kCode, table.data(), d, std::span<const int32_t>(&pad, 1), out.data());
  EXPECT_EQ(out[0], table[0]);
}

TEST(Softmax, CrossEntropyVector) {
  // p = 2 against n = (1, 0, -1): -ln softmax_0 = .4401897.
  float logits[16] = {2, 1, 0, -1}, none[4] = {0, 0, 0, 0}, grad[16];
  int32_t items[4] = {1, 2, 3, 4};
  EXPECT_NEAR(in_batch_softmax(logits, 4, 0, 1, items, none, grad), 0.4401897, 1e-6);
}

TEST(Softmax, PopularityCorrectionRaisesTheRare) {
  // Counts 50, 30, 20: ln q subtracted, so the logits rise by .6931472, 1.2039728, 1.6094379.
  float raw[9] = {}, none[3] = {0, 0, 0}, grad[9], expected[9];
  float log_q[3] = {std::log(.5f), std::log(.3f), std::log(.2f)};
  float raised[9] = {.6931472f,  1.2039728f, 1.6094379f, .6931472f, 1.2039728f,
                     1.6094379f, .6931472f,  1.2039728f, 1.6094379f};
  int32_t items[3] = {5, 6, 7};
  double a = in_batch_softmax(raw, 3, 0, 3, items, log_q, grad);
  double b = in_batch_softmax(raised, 3, 0, 3, items, none, expected);
  EXPECT_NEAR(a, b, 1e-5);
  for (int i = 0; i < 9; i++) EXPECT_NEAR(grad[i], expected[i], 1e-6);
  EXPECT_GT(grad[2], grad[1]);  // the rare item is pushed down harder than the middling one
}

TEST(Softmax, MasksOnlyTheSameItemOfOtherRows) {
  // Items 7, 7, 9: rows 0 and 1 do not push each other's copy of item 7, row 2 keeps both.
  Random random(8);
  std::vector<float> logits = normals(random, 9), grad(9);
  float none[3] = {0, 0, 0};
  int32_t items[3] = {7, 7, 9};
  in_batch_softmax(logits.data(), 3, 0, 3, items, none, grad.data());
  EXPECT_EQ(grad[1], 0);
  EXPECT_EQ(grad[3], 0);
  for (int i : {2, 5, 6, 7}) EXPECT_GT(grad[size_t(i)], 0) << i;
  for (int i : {0, 4, 8}) EXPECT_LT(grad[size_t(i)], 0) << i;
}

TEST(Softmax, Gradient) {
  size_t n = 6;
  Random random(9);
  std::vector<float> logits = normals(random, n * n), grad(n * n), unused(n * n), log_q = normals(random, n);
  int32_t items[6] = {1, 2, 1, 3, 4, 2};
  in_batch_softmax(logits.data(), n, 0, n, items, log_q.data(), grad.data());
  check_gradient("logits", logits.data(), grad.data(), n * n, [&] {
    return in_batch_softmax(logits.data(), n, 0, n, items, log_q.data(), unused.data()) / double(n);
  });
  // A block of rows is the same rows of the whole.
  std::vector<float> part(2 * n);
  in_batch_softmax(logits.data() + 3 * n, n, 3, 2, items, log_q.data(), part.data());
  for (size_t i = 0; i < 2 * n; i++) EXPECT_EQ(part[i], grad[3 * n + i]);
}

TEST(Optimizer, LazyAdamTouchesOnlyTheBatchsRows) {
  // Rows 0 and 2 of (1, 1, 2) with gradient .1, three steps: .999, .998, .997; row 1 stays.
  float w[3] = {1, 1, 2}, m[3] = {}, v[3] = {}, g = 0.1f;
  Optimizer adam;
  RowGradients rows(3, 1, std::pmr::get_default_resource());
  for (float expected : {.9990000f, .9980001f, .9970001f}) {
    adam.begin_step();
    rows.add(0, 1.0f, &g);
    rows.add(2, 1.0f, &g);
    rows.apply(adam, w, m, v);
    EXPECT_NEAR(w[0], expected, 1e-6);
    EXPECT_NEAR(w[2], expected + 1, 1e-6);
    EXPECT_EQ(w[1], 1);
    EXPECT_EQ(rows.of(0), nullptr);  // forgotten after the step
  }
}

TEST(Optimizer, LazyAdamCorrectsByTheGlobalStep) {
  // Touched in steps 1 and 3 only: .9981416 (dense Adam would reach .9975120).
  float w[2] = {1, 1}, m[2] = {}, v[2] = {}, g = 0.1f;
  Optimizer adam;
  RowGradients rows(2, 1, std::pmr::get_default_resource());
  for (int step = 1; step <= 3; step++) {
    adam.begin_step();
    rows.add(step == 2 ? 1 : 0, 1.0f, &g);
    rows.apply(adam, w, m, v);
  }
  EXPECT_NEAR(w[0], .9981416, 1e-6);
}

TEST(Optimizer, AdagradAccumulatesFromZero) {
  float w = 1, v = 0, g[1] = {0.5f};
  Optimizer adagrad;
  adagrad.adam = false;
  adagrad.learning_rate = 0.05f;
  adagrad.begin_step();
  adagrad.update(&w, nullptr, &v, g, 1);
  EXPECT_NEAR(w, 0.95, 1e-6);  // the first step is the full learning rate whatever the gradient's size
  g[0] = 0.5f;
  adagrad.begin_step();
  adagrad.update(&w, nullptr, &v, g, 1);
  EXPECT_NEAR(w, 0.95 - 0.05 / std::sqrt(2.0), 1e-6);
}

}  // namespace
}  // namespace gyr
