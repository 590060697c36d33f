// Per-target declarations of every SIMD kernel, so that table.cpp can list what the other files define. Included once
// per Highway target: the guard toggles.
//
// Code between HWY_BEFORE_NAMESPACE and HWY_AFTER_NAMESPACE may run instructions that the build machine's baseline
// lacks. It must not call inline functions or templates of shared headers (std:: included): the linker keeps one copy
// of those, and it could be the AVX-512 one.
#if defined(GYR_KERNELS_CPU_OPS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GYR_KERNELS_CPU_OPS_INL_H
#undef GYR_KERNELS_CPU_OPS_INL_H
#else
#define GYR_KERNELS_CPU_OPS_INL_H
#endif

#include "hwy/highway.h"
#include "kernels/kernels.h"

// Targets with fixed-size vectors; on the others (scalar, SVE) ref or NEON serves.
#undef GYR_CPU_TARGET
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128 && !HWY_HAVE_SCALABLE
#define GYR_CPU_TARGET 1
#else
#define GYR_CPU_TARGET 0
#endif

namespace gyr::kernels::HWY_NAMESPACE {

float dot(const float* a, const float* b, size_t n);
float l2_squared(const float* a, const float* b, size_t n);
void axpy(float alpha, const float* x, float* y, size_t n);
void scale(float alpha, float* x, size_t n);
void dot_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out);
void l2_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out);
void dot_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                 float* out);
void l2_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride, float* out);
void dot_codes(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out);
void dot_codes_at(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                  int32_t* out);
#if HWY_TARGET == HWY_AVX3
void dot_codes_vnni(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out);
void dot_codes_at_vnni(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                       int32_t* out);
void dot_bytes_vnni(const int8_t* q, const int8_t* rows, size_t n, size_t stride, int32_t* out);
#endif
void dot_bytes(const int8_t* q, const int8_t* rows, size_t n, size_t stride, int32_t* out);
float max_abs(const float* x, size_t n);
void encode_codes(const float* x, size_t n, float scale, int8_t* out);
void encode_query(const float* x, size_t n, float scale, int16_t* out, int32_t bound);
void insert_ranked(int64_t* list, size_t most, const int64_t* keys, size_t n);
void dot_coded_at(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n, size_t dim,
                  float* out);
void l2_coded_at(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n, size_t dim,
                 float* out);
void dot_stored_at(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                   size_t stride, float* out);
void l2_stored_at(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                  size_t stride, float* out);
void unpack_rows(RowType type, const void* const* rows, size_t n, size_t dim, const float* missing, float* out);
void pool_rows(RowType type, const void* const* rows, const float* weight, size_t n, size_t dim, bool add, float* out);
void gemm_packed(const float* x, size_t ldx, const float* packed_w, const float* bias, float* y, size_t ldy, size_t m,
                 size_t k, size_t n, Activation act);
void gemm_nn(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add);
void gemm_tn(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add);
void gemm_nt(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add);
void syr_upper(float alpha, const float* x, float* a, size_t n);
void syrk_rows_upper(float alpha, const float* rows, const uint32_t* at, size_t n, size_t dim, float* a);
bool solve_positive_definite(float* a, float* x, size_t n);
void interact(const float* vectors, size_t f, size_t dim, float* out);
void softmax(float* x, size_t n);
void sigmoid(float* x, size_t n);
void tanh_values(float* x, size_t n);  // for gemm_packed
void adagrad(float* w, float* state, const float* g, size_t n, float lr, float eps);
void adam(float* w, float* m, float* v, const float* g, size_t n, float lr, float beta1, float beta2, float eps);

}  // namespace gyr::kernels::HWY_NAMESPACE

#endif
