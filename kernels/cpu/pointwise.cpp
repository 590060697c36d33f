// Elementwise functions and optimizer steps.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/contrib/math/math-inl.h"
#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

// Highway's functions map NaN to a number; a model gone wrong must show.
HWY_INLINE V keep_nan(V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

// 1 / (1 + e^-x) by way of e^-|x|, which never overflows.
HWY_INLINE V sigmoid_of(V x) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  const V z = hn::Exp(d, hn::Neg(hn::Abs(x)));
  const V top = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), z, one);
  return keep_nan(x, hn::Div(top, hn::Add(one, z)));
}

HWY_INLINE V tanh_of(V x) { return keep_nan(x, hn::Tanh(D(), x)); }

}  // namespace

void sigmoid(float* x, size_t n) {
  const D d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(sigmoid_of(hn::LoadU(d, x + i)), d, x + i);
  if (i < n) store_tail(sigmoid_of(load_tail(x + i, n - i)), x + i, n - i);
}

void tanh_values(float* x, size_t n) {
  const D d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(tanh_of(hn::LoadU(d, x + i)), d, x + i);
  if (i < n) store_tail(tanh_of(load_tail(x + i, n - i)), x + i, n - i);
}

void softmax(float* x, size_t n) {
  if (n == 0) return;
  const D d;
  float top = x[0];
  size_t i = 0;
  if (n >= kLanes) {
    V tops = hn::LoadU(d, x);
    for (i = kLanes; i + kLanes <= n; i += kLanes) tops = hn::Max(tops, hn::LoadU(d, x + i));
    top = hn::GetLane(hn::MaxOfLanes(d, tops));
  }
  for (; i < n; ++i) top = x[i] > top ? x[i] : top;
  const V vtop = hn::Set(d, top);
  V sums = hn::Zero(d);
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const V shifted = hn::Sub(hn::LoadU(d, x + i), vtop);
    const V e = keep_nan(shifted, hn::Exp(d, shifted));
    sums = hn::Add(sums, e);
    hn::StoreU(e, d, x + i);
  }
  if (i < n) {
    const V shifted = hn::Sub(load_tail(x + i, n - i), vtop);
    const V e = hn::IfThenElseZero(hn::FirstN(d, n - i), keep_nan(shifted, hn::Exp(d, shifted)));
    sums = hn::Add(sums, e);
    store_tail(e, x + i, n - i);
  }
  const V total = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sums)));
  for (i = 0; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Div(hn::LoadU(d, x + i), total), d, x + i);
  if (i < n) store_tail(hn::Div(load_tail(x + i, n - i), total), x + i, n - i);
}

void adagrad(float* w, float* state, const float* g, size_t n, float lr, float eps) {
  const D d;
  const V vlr = hn::Set(d, lr), veps = hn::Set(d, eps);
  for (size_t i = 0; i < n; i += kLanes) {
    const size_t rest = n - i;
    const bool full = rest >= kLanes;
    const V grad = full ? hn::LoadU(d, g + i) : load_tail(g + i, rest);
    V sum = full ? hn::LoadU(d, state + i) : load_tail(state + i, rest);
    V weight = full ? hn::LoadU(d, w + i) : load_tail(w + i, rest);
    sum = hn::MulAdd(grad, grad, sum);
    weight = hn::Sub(weight, hn::Div(hn::Mul(vlr, grad), hn::Add(hn::Sqrt(sum), veps)));
    if (full) {
      hn::StoreU(sum, d, state + i);
      hn::StoreU(weight, d, w + i);
    } else {
      store_tail(sum, state + i, rest);
      store_tail(weight, w + i, rest);
    }
  }
}

void adam(float* w, float* m, float* v, const float* g, size_t n, float lr, float beta1, float beta2, float eps) {
  const D d;
  const V vlr = hn::Set(d, lr), veps = hn::Set(d, eps);
  const V b1 = hn::Set(d, beta1), c1 = hn::Set(d, 1 - beta1), b2 = hn::Set(d, beta2), c2 = hn::Set(d, 1 - beta2);
  for (size_t i = 0; i < n; i += kLanes) {
    const size_t rest = n - i;
    const bool full = rest >= kLanes;
    const V grad = full ? hn::LoadU(d, g + i) : load_tail(g + i, rest);
    V mean = full ? hn::LoadU(d, m + i) : load_tail(m + i, rest);
    V square = full ? hn::LoadU(d, v + i) : load_tail(v + i, rest);
    V weight = full ? hn::LoadU(d, w + i) : load_tail(w + i, rest);
    mean = hn::MulAdd(b1, mean, hn::Mul(c1, grad));
    square = hn::MulAdd(b2, square, hn::Mul(hn::Mul(c2, grad), grad));
    weight = hn::Sub(weight, hn::Div(hn::Mul(vlr, mean), hn::Add(hn::Sqrt(square), veps)));
    if (full) {
      hn::StoreU(mean, d, m + i);
      hn::StoreU(square, d, v + i);
      hn::StoreU(weight, d, w + i);
    } else {
      store_tail(mean, m + i, rest);
      store_tail(square, v + i, rest);
      store_tail(weight, w + i, rest);
    }
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
