// One constant table per compiled target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/table.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/ops-inl.h"

#if GYR_CPU_TARGET
namespace gyr::kernels::HWY_NAMESPACE {

// "N_AVX2" + 2: the name hwy::TargetName gives. Constant-initialised: no code of this target runs at load time.
constexpr Ops kOps = {HWY_STR(HWY_NAMESPACE) + 2,
                      dot,
                      l2_squared,
                      axpy,
                      scale,
                      dot_rows,
                      l2_rows,
                      dot_rows_at,
                      l2_rows_at,
                      dot_codes,
                      dot_codes_at,
                      dot_bytes,
                      max_abs,
                      encode_codes,
                      encode_query,
                      insert_ranked,
                      dot_coded_at,
                      l2_coded_at,
                      dot_stored_at,
                      l2_stored_at,
                      unpack_rows,
                      pool_rows,
                      gemm_packed,
                      gemm_nn,
                      gemm_tn,
                      gemm_nt,
                      syr_upper,
                      syrk_rows_upper,
                      solve_positive_definite,
                      interact,
                      softmax,
                      sigmoid,
                      adagrad,
                      adam};

#if HWY_TARGET == HWY_AVX3
constexpr Ops with_vnni(Ops ops) {
  ops.name = "AVX3_VNNI";
  ops.dot_codes = dot_codes_vnni;
  ops.dot_codes_at = dot_codes_at_vnni;
  ops.dot_bytes = dot_bytes_vnni;
  return ops;
}
constexpr Ops kVnniOps = with_vnni(kOps);
#endif

}  // namespace gyr::kernels::HWY_NAMESPACE
#endif  // GYR_CPU_TARGET

#if HWY_ONCE
#include "kernels/cpu/cpu.h"
#if HWY_TARGETS & HWY_AVX3
#include <cpuid.h>
#endif

namespace gyr::kernels {

#if HWY_TARGETS & HWY_AVX3
// Not __builtin_cpu_supports(): it brings a constructor into the library.
static bool has_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 11));
}
#endif

size_t simd_tables(const Ops** tables) {
  const int64_t here = hwy::SupportedTargets();
  size_t count = 0;
  // Highway numbers better targets lower.
#if HWY_TARGETS & HWY_NEON
  if (here & HWY_NEON) tables[count++] = &N_NEON::kOps;
#endif
#if HWY_TARGETS & HWY_SSSE3
  if (here & HWY_SSSE3) tables[count++] = &N_SSSE3::kOps;
#endif
#if HWY_TARGETS & HWY_SSE4
  if (here & HWY_SSE4) tables[count++] = &N_SSE4::kOps;
#endif
#if HWY_TARGETS & HWY_AVX2
  if (here & HWY_AVX2) tables[count++] = &N_AVX2::kOps;
#endif
#if HWY_TARGETS & HWY_AVX3
  if (here & HWY_AVX3) tables[count++] = &N_AVX3::kOps;
  if ((here & HWY_AVX3) && has_vnni()) tables[count++] = &N_AVX3::kVnniOps;
#endif
#if HWY_TARGETS & HWY_AVX3_DL
  if (here & HWY_AVX3_DL) tables[count++] = &N_AVX3_DL::kOps;
#endif
  return count;
}

}  // namespace gyr::kernels
#endif  // HWY_ONCE
