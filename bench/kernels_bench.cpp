// Every kernel implementation of this CPU beside OpenBLAS (serial), in one run:
//   kernels_bench --benchmark_filter=gemm_packed
// OpenBLAS runs the bare product where ours adds bias and ReLU, and sgemv where ours scores rows.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace gyr::kernels {
namespace {

using benchmark::State;

// On cache lines, as files and runtime memory are.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, size_t) { ::operator delete (p, std::align_val_t{64}); }
  bool operator==(const Aligned&) const { return true; }
};
using Floats = std::vector<float, Aligned<float>>;

Floats values(size_t n) {
  Floats v(n);
  uint32_t s = 1;
  for (float& x : v) x = static_cast<float>((s = s * 1664525u + 1013904223u) >> 8) / (1 << 24) - 0.5f;
  return v;
}

void flops(State& state, double per_iteration) {
  state.counters["GFLOP/s"] = benchmark::Counter(per_iteration * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void bytes(State& state, double per_iteration) {
  state.counters["GB/s"] = benchmark::Counter(per_iteration * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

struct Shape {
  size_t m, k, n;
};

std::string label(const char* what, const char* who, Shape s) {
  return std::string(what) + "/" + std::to_string(s.m) + "x" + std::to_string(s.k) + "x" + std::to_string(s.n) + "/" +
         who;
}

void gemm_packed(const Ops& ops, Shape s, State& state) {
  auto x = values(s.m * s.k), w = values(s.k * s.n), bias = values(s.n);
  Floats packed(packed_size(s.k, s.n)), y(s.m * s.n);
  pack_weights(w.data(), s.k, s.n, packed.data());
  for (auto _ : state) {
    ops.gemm_packed(x.data(), s.k, packed.data(), bias.data(), y.data(), s.n, s.m, s.k, s.n, Activation::kRelu);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  flops(state, 2.0 * static_cast<double>(s.m * s.k * s.n));
}

void gemm(const Ops& ops, char kind, Shape s, State& state) {
  auto a = values(s.m * s.k), b = values(s.k * s.n);
  Floats c(s.m * s.n);
  auto run = kind == 'n' ? ops.gemm_nn : kind == 't' ? ops.gemm_tn : ops.gemm_nt;
  for (auto _ : state) {
    run(a.data(), b.data(), c.data(), s.m, s.k, s.n, false);
    benchmark::DoNotOptimize(c.data());
    benchmark::ClobberMemory();
  }
  flops(state, 2.0 * static_cast<double>(s.m * s.k * s.n));
}

void sgemm(char kind, Shape s, State& state) {
  auto a = values(s.m * s.k), b = values(s.k * s.n);
  Floats c(s.m * s.n);
  const int m = static_cast<int>(s.m), k = static_cast<int>(s.k), n = static_cast<int>(s.n);
  const bool ta = kind == 't', tb = kind == 'b';
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1, a.data(),
                ta ? m : k, b.data(), tb ? k : n, 0, c.data(), n);
    benchmark::DoNotOptimize(c.data());
    benchmark::ClobberMemory();
  }
  flops(state, 2.0 * static_cast<double>(s.m * s.k * s.n));
}

std::vector<uint32_t> scattered(size_t n, size_t of) {
  std::vector<uint32_t> at(n);
  uint32_t s = 7;
  for (uint32_t& i : at) i = ((s = s * 1664525u + 1013904223u) >> 4) % static_cast<uint32_t>(of);
  return at;
}

constexpr size_t kItems = 100000;

void syrk_rows(const Ops& ops, size_t n, size_t dim, State& state) {
  auto rows = values(kItems * dim);
  auto at = scattered(n, kItems);
  Floats a(dim * dim);
  for (auto _ : state) {
    ops.syrk_rows_upper(1e-6f, rows.data(), at.data(), n, dim, a.data());
    benchmark::DoNotOptimize(a.data());
    benchmark::ClobberMemory();
  }
  flops(state, static_cast<double>(n * dim * (dim + 1)));
}

// Gather into a buffer, then ssyrk.
void ssyrk(size_t n, size_t dim, State& state) {
  auto rows = values(kItems * dim);
  auto at = scattered(n, kItems);
  Floats a(dim * dim), gathered(n * dim);
  for (auto _ : state) {
    for (size_t i = 0; i < n; ++i) std::memcpy(&gathered[i * dim], &rows[at[i] * dim], dim * sizeof(float));
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, static_cast<int>(dim), static_cast<int>(n), 1e-6f,
                gathered.data(), static_cast<int>(dim), 1, a.data(), static_cast<int>(dim));
    benchmark::DoNotOptimize(a.data());
    benchmark::ClobberMemory();
  }
  flops(state, static_cast<double>(n * dim * (dim + 1)));
}

extern "C" {
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void spotrs_(const char* uplo, const int* n, const int* nrhs, const float* a, const int* lda, float* b, const int* ldb,
             int* info);
}

// Null ops: LAPACK of OpenBLAS. Copies the system each time, as iALS makes a new one for each user.
void solve(const Ops* ops, size_t n, State& state) {
  Floats a(n * n), b = values(n), left(n * n), x(n);
  auto noise = values(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) a[i * n + j] = noise[std::min(i, j) * n + std::max(i, j)] + (i == j ? 2.0f * n : 0);
  for (auto _ : state) {
    left = a;
    x = b;
    if (ops != nullptr) {
      benchmark::DoNotOptimize(ops->solve_positive_definite(left.data(), x.data(), n));
    } else {
      const int size = static_cast<int>(n), one = 1;
      int info = 0;
      spotrf_("L", &size, left.data(), &size, &info);
      spotrs_("L", &size, &one, left.data(), &size, x.data(), &size, &info);
    }
    benchmark::DoNotOptimize(x.data());
    benchmark::ClobberMemory();
  }
}

void dot_rows(const Ops& ops, size_t n, size_t dim, State& state) {
  auto rows = values(n * dim), q = values(dim);
  Floats out(n);
  for (auto _ : state) {
    ops.dot_rows(q.data(), rows.data(), n, dim, dim, out.data());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  bytes(state, static_cast<double>(n * dim * sizeof(float)));
}

void dot_rows_at(const Ops& ops, size_t n, size_t dim, State& state) {
  auto rows = values(n * dim), q = values(dim);
  auto at = scattered(200000, n);  // 51 MB of rows: no L2 holds them
  Floats out(at.size());
  for (auto _ : state) {
    ops.dot_rows_at(q.data(), rows.data(), at.data(), at.size(), dim, dim, out.data());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  bytes(state, static_cast<double>(at.size() * dim * sizeof(float)));
}

// What a graph search asks for at a time: 32 rows by number, from all of them (which miss every cache) or from the
// first `of`, which do not. The lists are many, so that no predictor learns them.
template <class Score>
void hops(size_t of, State& state, Score score) {
  constexpr size_t kHop = 32, kHops = 32768;
  const auto at = scattered(kHop * kHops, of);
  size_t hop = 0;
  for (auto _ : state) {
    score(&at[hop * kHop], kHop);
    hop = (hop + 1) % kHops;
    benchmark::ClobberMemory();
  }
  state.counters["s/row"] =
      benchmark::Counter(kHop, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void hop_rows(const Ops& ops, size_t n, size_t of, size_t dim, State& state) {
  const auto rows = values(n * dim), q = values(dim);
  float out[32];
  hops(of, state,
       [&](const uint32_t* at, size_t count) { ops.dot_rows_at(q.data(), rows.data(), at, count, dim, dim, out); });
}

void hop_codes(const Ops& ops, size_t n, size_t of, size_t dim, State& state) {
  const size_t stride = code_stride(dim);
  const auto x = values(stride), q = values(dim);
  std::vector<int8_t, Aligned<int8_t>> codes(n * stride);
  std::vector<int16_t, Aligned<int16_t>> query(stride);
  ops.encode_query(q.data(), dim, 40000, query.data(), code_query_max(dim));
  for (size_t i = 0; i < n; ++i) ops.encode_codes(x.data(), dim, 250, &codes[i * stride]);
  int32_t out[32];
  hops(of, state, [&](const uint32_t* at, size_t count) {
    ops.dot_codes_at(query.data(), codes.data(), at, count, dim, stride, out);
  });
}

void hop_stored(const Ops& ops, RowType type, size_t n, size_t of, size_t dim, State& state) {
  const size_t bytes = stored_row_bytes(type, dim), stride = (bytes + 63) / 64 * 64;
  const auto q = values(dim);
  std::vector<uint8_t, Aligned<uint8_t>> rows(n * stride, 0x3c);
  float out[32];
  hops(of, state, [&](const uint32_t* at, size_t count) {
    ops.dot_stored_at(type, q.data(), rows.data(), at, count, dim, stride, out);
  });
}

void hop_coded(const Ops& ops, bool fine, size_t n, size_t of, size_t dim, State& state) {
  const size_t stride = code_stride(dim);
  const auto q = values(stride);
  const std::vector<int8_t, Aligned<int8_t>> codes(n * stride, 7), rests(fine ? n * stride : 0, 7);
  const Floats scales(32, 0.01f);
  const CodedRows rows{codes.data(), fine ? rests.data() : nullptr, stride};
  float out[32];
  hops(of, state,
       [&](const uint32_t* at, size_t count) { ops.dot_coded_at(q.data(), rows, scales.data(), at, count, dim, out); });
}

void dot_codes(const Ops& ops, size_t n, size_t dim, State& state) {
  const size_t stride = code_stride(dim);
  const std::vector<int8_t, Aligned<int8_t>> codes(n * stride, 7);
  const std::vector<int16_t, Aligned<int16_t>> q(stride, 100);
  std::vector<int32_t> out(n);
  for (auto _ : state) {
    ops.dot_codes(q.data(), codes.data(), n, dim, stride, out.data());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  bytes(state, static_cast<double>(n * stride));
}

void sgemv(size_t n, size_t dim, State& state) {
  auto rows = values(n * dim), q = values(dim);
  Floats out(n);
  const int m = static_cast<int>(n), k = static_cast<int>(dim);
  for (auto _ : state) {
    cblas_sgemv(CblasRowMajor, CblasNoTrans, m, k, 1, rows.data(), k, q.data(), 1, 0, out.data(), 1);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  bytes(state, static_cast<double>(n * dim * sizeof(float)));
}

void pointwise(const Ops& ops, const std::string& what, size_t n, State& state) {
  auto x = values(n), m = values(n), v = values(n), g = values(n);
  for (float& s : v) s = s * s;
  for (auto _ : state) {
    if (what == "sigmoid") ops.sigmoid(x.data(), n);
    if (what == "softmax") ops.softmax(x.data(), n);
    if (what == "adam") ops.adam(x.data(), m.data(), v.data(), g.data(), n, 1e-3f, 0.9f, 0.999f, 1e-8f);
    if (what == "adagrad") ops.adagrad(x.data(), v.data(), g.data(), n, 1e-3f, 1e-8f);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(n) * state.iterations());
}

template <class Run>
void add(const std::string& name, Run run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->MinTime(0.05);
}

int register_all() {
  const Shape layers[] = {{1, 128, 64},   {1, 512, 256},  {8, 128, 64},    {8, 512, 256},   {64, 64, 32},
                          {64, 256, 128}, {100, 256, 64}, {512, 128, 128}, {512, 512, 256}, {512, 64, 1}};
  const Shape products[] = {{256, 64, 64}, {1024, 256, 128}, {256, 512, 512}};
  size_t count = 0;
  const Ops* const* all = available(&count);
  for (size_t i = 0; i <= count; ++i) {  // the last turn is OpenBLAS
    const Ops* ops = i < count ? all[i] : nullptr;
    const char* who = ops != nullptr ? ops->name : "OpenBLAS";
    for (Shape s : layers) {
      add(label("gemm_packed", who, s),
          [=](State& st) { ops != nullptr ? gemm_packed(*ops, s, st) : sgemm('n', s, st); });
    }
    for (Shape s : products) {
      Shape back = {s.k, s.m, s.n};  // weight gradients sum over the batch
      add(label("gemm_nn", who, s), [=](State& st) { ops != nullptr ? gemm(*ops, 'n', s, st) : sgemm('n', s, st); });
      add(label("gemm_nt", who, s), [=](State& st) { ops != nullptr ? gemm(*ops, 'b', s, st) : sgemm('b', s, st); });
      add(label("gemm_tn", who, back),
          [=](State& st) { ops != nullptr ? gemm(*ops, 't', back, st) : sgemm('t', back, st); });
    }
    for (size_t dim : {32, 64, 128, 256}) {
      for (size_t n : {10, 100, 500}) {
        add(label("syrk_rows", who, {n, dim, dim}),
            [=](State& st) { ops != nullptr ? syrk_rows(*ops, n, dim, st) : ssyrk(n, dim, st); });
      }
    }
    for (size_t n : {16, 32, 64, 128, 256}) add(label("solve", who, {n, n, 1}), [=](State& st) { solve(ops, n, st); });
    for (size_t n : {1000, 100000}) {
      add(label("dot_rows", who, {n, 64, 1}),
          [=](State& st) { ops != nullptr ? dot_rows(*ops, n, 64, st) : sgemv(n, 64, st); });
    }
    if (ops == nullptr) continue;
    add(label("dot_rows_at", who, {1000000, 64, 1}), [=](State& st) { dot_rows_at(*ops, 1000000, 64, st); });
    for (Shape rows : {Shape{1000000, 64, 1}, Shape{60000, 784, 1}}) {
      const size_t n = rows.m, dim = rows.k;
      for (size_t of : {n, 16 * 1024 / dim}) {
        const auto hop = [&](const char* what) { return label(what, who, rows) + (of == n ? "/far" : "/cached"); };
        add(hop("hop_rows"), [=](State& st) { hop_rows(*ops, n, of, dim, st); });
        add(hop("hop_codes"), [=](State& st) { hop_codes(*ops, n, of, dim, st); });
        add(hop("hop_int8"), [=](State& st) { hop_coded(*ops, false, n, of, dim, st); });
        add(hop("hop_int16"), [=](State& st) { hop_coded(*ops, true, n, of, dim, st); });
        add(hop("hop_float32"), [=](State& st) { hop_stored(*ops, RowType::kFloat32, n, of, dim, st); });
        add(hop("hop_float16"), [=](State& st) { hop_stored(*ops, RowType::kFloat16, n, of, dim, st); });
        add(hop("hop_bfloat16"), [=](State& st) { hop_stored(*ops, RowType::kBfloat16, n, of, dim, st); });
      }
      add(label("dot_codes", who, rows), [=](State& st) { dot_codes(*ops, n, dim, st); });
    }
    for (const char* what : {"sigmoid", "softmax", "adam", "adagrad"}) {
      add(std::string(what) + "/4096/" + who, [=](State& st) { pointwise(*ops, what, 4096, st); });
    }
  }
  return 0;
}

const int registered = register_all();

}  // namespace
}  // namespace gyr::kernels
