// The hot loops. One table of functions per implementation: ref (scalar, obvious, the oracle) and the best SIMD level
// of this CPU, chosen at run time. Sees nothing of gyr but src/base. All pointers may be unaligned; sizes may be 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gyr::kernels {

enum class Activation : uint8_t { kNone, kRelu, kSigmoid, kTanh };

// y[m, n] = act(x[m, k] * w[k, n] + bias[n]) wants w packed once: panels of kPanel columns, each panel holding its k
// rows back to back, the last one padded with zeros. kPanel is the same for every implementation, so packed weights
// are data, not code.
constexpr size_t kPanel = 32;
constexpr size_t packed_size(size_t k, size_t n) { return (n + kPanel - 1) / kPanel * kPanel * k; }

// How a row of an embedding cache is stored. kInt8: dim int8, padding to 4 bytes, then float scale and bias; a value is
// q * scale + bias.
enum class RowType : uint8_t { kFloat32, kFloat16, kBfloat16, kInt8 };
constexpr size_t int8_scale_at(size_t dim) { return (dim + 3) / 4 * 4; }
constexpr size_t stored_row_bytes(RowType type, size_t dim) {
  if (type == RowType::kInt8) return int8_scale_at(dim) + 2 * sizeof(float);
  return dim * (type == RowType::kFloat32 ? 4 : 2);
}
// Codes are int8 rows of a vector index: `stride` bytes apart, a multiple of kCodeBlock, and readable up to it. A query
// against them is int16 values, zeros up to the next multiple of kCodeBlock after dim, none beyond
// +-code_query_max(dim): so no sum leaves int32 on its way, and no kernel has a tail.
constexpr size_t kCodeBlock = 64;
constexpr size_t code_stride(size_t dim) { return (dim + kCodeBlock - 1) / kCodeBlock * kCodeBlock; }
constexpr int32_t code_query_max(size_t dim) {
  const size_t most = dim == 0 ? INT16_MAX : INT32_MAX / (128 * dim);
  return static_cast<int32_t>(most < INT16_MAX ? most : INT16_MAX);
}

// Rows that are codes: value d of row i stands for scale_i * (codes[i][d] + rests[i][d] / kRestSteps), without the
// second term where rests is null. Both arrays have `stride` bytes between rows, as codes have, and zeros up to the
// next multiple of kCodeBlock after dim; so has the float query against them.
constexpr int kRestSteps = 254;  // half of a code's step is 127 of these
struct CodedRows {
  const int8_t* codes;
  const int8_t* rests;
  size_t stride;
};

// A ranked list: distinct keys, the largest first, then INT64_MIN for every place that is not taken. It has places for
// ranked_places(most) of them, of which those from `most` on are scratch.
constexpr size_t kRankedBlock = 32;
constexpr size_t ranked_places(size_t most) { return (most + kRankedBlock - 1) / kRankedBlock * kRankedBlock; }

constexpr size_t kRowsAhead = 32;
// Always inlined: GCC takes a function that only prefetches for one without effect, and drops calls that it has not
// inlined by then.
[[gnu::always_inline]] inline void ask_for_row(const void* row, size_t bytes) {
  constexpr size_t kMost = 1024;
  for (size_t at = 0; at < (bytes < kMost ? bytes : kMost); at += 64)
    __builtin_prefetch(static_cast<const char*>(row) + at);
}

struct Ops {
  const char* name;  // "ref", "NEON", "AVX2", "AVX3_VNNI", ...

  float (*dot)(const float* a, const float* b, size_t n);
  float (*l2_squared)(const float* a, const float* b, size_t n);
  void (*axpy)(float alpha, const float* x, float* y, size_t n);  // y += alpha x
  void (*scale)(float alpha, float* x, size_t n);

  // One query against rows [n, dim] stored with `stride` floats between them: out[i] = q . row_i, or -|q - row_i|^2.
  void (*dot_rows)(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out);
  void (*l2_rows)(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out);
  // The same for rows picked by number.
  void (*dot_rows_at)(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                      float* out);
  void (*l2_rows_at)(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                     float* out);

  // One query against codes: out[i] = the exact sum of q[d] * row_i[d]; see kCodeBlock for what both must be.
  void (*dot_codes)(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out);
  void (*dot_codes_at)(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                       int32_t* out);
  // The same of bytes, none of them -128; `stride`: a multiple of kCodeBlock, up to which both are to be multiplied.
  void (*dot_bytes)(const int8_t* q, const int8_t* rows, size_t n, size_t stride, int32_t* out);
  float (*max_abs)(const float* x, size_t n);  // 0 of none; no NaN
  // out = x * scale, rounded to nearest even and clamped to +-127 or +-bound (at most INT16_MAX). No NaN.
  void (*encode_codes)(const float* x, size_t n, float scale, int8_t* out);
  void (*encode_query)(const float* x, size_t n, float scale, int16_t* out, int32_t bound);

  // Inserts n keys into a ranked list, of which the `most` largest stay.
  void (*insert_ranked)(int64_t* list, size_t most, const int64_t* keys, size_t n);

  // One query against coded rows picked by number: out[i] = q . row, or -|q - row|^2. scales [n], of the rows picked.
  void (*dot_coded_at)(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n,
                       size_t dim, float* out);
  void (*l2_coded_at)(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n,
                      size_t dim, float* out);

  // One query against stored rows picked by number, `stride` bytes apart: out[i] = q . row, or -|q - row|^2.
  void (*dot_stored_at)(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                        size_t stride, float* out);
  void (*l2_stored_at)(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                       size_t stride, float* out);
  // Rows of these two may lie anywhere in memory: while one is worked on, the one kRowsAhead later is asked for.
  // Whoever calls asks for the first kRowsAhead. out[n, dim] = the rows as floats; null = `missing` [dim].
  void (*unpack_rows)(RowType type, const void* const* rows, size_t n, size_t dim, const float* missing, float* out);
  // out[dim] (+)= sum over i of weight[i] * rows[i] (weight null = 1). Null row pointers are skipped.
  void (*pool_rows)(RowType type, const void* const* rows, const float* weight, size_t n, size_t dim, bool add,
                    float* out);

  // Dense layer over packed weights; ldx, ldy: floats between rows. bias null = 0. Overwrites y.
  void (*gemm_packed)(const float* x, size_t ldx, const float* packed_w, const float* bias, float* y, size_t ldy,
                      size_t m, size_t k, size_t n, Activation act);
  // Training products, plain row-major: c[m, n] (+)= a[m, k] * b[k, n]; a^T: a is [k, m]; b^T: b is [n, k].
  void (*gemm_nn)(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add);
  void (*gemm_tn)(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add);
  void (*gemm_nt)(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add);
  // Symmetric rank-1 update of the upper triangle: a[n, n] += alpha x x^T (iALS normal equations).
  void (*syr_upper)(float alpha, const float* x, float* a, size_t n);
  // Same for rows picked by number: a += alpha * sum_i rows[at_i] rows[at_i]^T, b += beta * sum_i rows[at_i].
  void (*syrk_rows_upper)(float alpha, const float* rows, const uint32_t* at, size_t n, size_t dim, float* a);
  // Solves a * x = b for a symmetric positive definite a[n, n], of which the upper triangle is read and overwritten by
  // its Cholesky factor (Golub & Van Loan, Matrix Computations, 4.2); the lower one is scratch. x holds b on entry.
  // False: a is not positive definite or not finite; x is then unspecified.
  bool (*solve_positive_definite)(float* a, float* x, size_t n);

  // DLRM dot interaction (Naumov et al. 2019): vectors [f, dim] back to back; out = strict upper triangle of the Gram
  // matrix, row-major, f(f-1)/2 values.
  void (*interact)(const float* vectors, size_t f, size_t dim, float* out);

  void (*softmax)(float* x, size_t n);  // in place, stable
  void (*sigmoid)(float* x, size_t n);  // in place

  // Row-sparse or dense optimizer steps over n values; `state` starts at 0 (Adagrad: Duchi et al. 2011,
  // w -= lr g / (sqrt(state += g^2) + eps); Adam: Kingma & Ba 2015, bias-corrected lr given by the caller).
  void (*adagrad)(float* w, float* state, const float* g, size_t n, float lr, float eps);
  void (*adam)(float* w, float* m, float* v, const float* g, size_t n, float lr, float beta1, float beta2, float eps);
};

const Ops& ref();
// The best level this CPU has; GYR_SIMD=scalar|... is for tests and goes through force().
const Ops& best();
// Every implementation this CPU can run, ref first.
const Ops* const* available(size_t* count);
// Makes best() return the named one; false when this CPU has none of that name. Tests only, before other threads.
bool force(const char* name);

void pack_weights(const float* w /* [k, n] */, size_t k, size_t n, float* packed);

}  // namespace gyr::kernels
