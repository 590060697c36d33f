#include <cstring>

#include "kernels/ref/ref.h"

namespace gyr::kernels {

const Ops& ref() {
  namespace r = reference;
  static constexpr Ops kOps = {"ref",
                               r::dot,
                               r::l2_squared,
                               r::axpy,
                               r::scale,
                               r::dot_rows,
                               r::l2_rows,
                               r::dot_rows_at,
                               r::l2_rows_at,
                               r::dot_codes,
                               r::dot_codes_at,
                               r::dot_bytes,
                               r::max_abs,
                               r::encode_codes,
                               r::encode_query,
                               r::insert_ranked,
                               r::dot_coded_at,
                               r::l2_coded_at,
                               r::dot_stored_at,
                               r::l2_stored_at,
                               r::unpack_rows,
                               r::pool_rows,
                               r::gemm_packed,
                               r::gemm_nn,
                               r::gemm_tn,
                               r::gemm_nt,
                               r::syr_upper,
                               r::syrk_rows_upper,
                               r::solve_positive_definite,
                               r::interact,
                               r::softmax,
                               r::sigmoid,
                               r::adagrad,
                               r::adam};
  return kOps;
}

void pack_weights(const float* w, size_t k, size_t n, float* packed) {
  for (size_t first = 0; first < n; first += kPanel) {
    size_t width = n - first < kPanel ? n - first : kPanel;
    for (size_t l = 0; l < k; ++l, packed += kPanel) {
      std::memcpy(packed, w + l * n + first, width * sizeof(float));
      if (width < kPanel) std::memset(packed + width, 0, (kPanel - width) * sizeof(float));
    }
  }
}

}  // namespace gyr::kernels
