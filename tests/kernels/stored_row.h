// Rows of every stored type, filled with values that the type holds well.
#pragma once

#include <cstring>
#include <random>

#include "base/half.h"
#include "kernels/kernels.h"
#include "tests/kernels/guarded.h"

namespace gyr::kernels {

constexpr RowType kRowTypes[] = {RowType::kFloat32, RowType::kFloat16, RowType::kBfloat16, RowType::kInt8};

inline void fill_stored_row(RowType type, size_t dim, uint32_t seed, uint8_t* row) {
  std::mt19937 random(seed);
  if (type == RowType::kInt8) {
    for (size_t j = 0; j < dim; ++j) row[j] = static_cast<uint8_t>(random());
    const float scale[] = {0.001f * static_cast<float>(seed + 1), -0.5f};
    std::memcpy(row + int8_scale_at(dim), scale, sizeof scale);
    return;
  }
  for (size_t j = 0; j < dim; ++j) {
    const float v = static_cast<float>(static_cast<int>(random() % 20001) - 10000) / 8192.0f;
    const uint16_t half = type == RowType::kFloat16 ? float_to_half(v) : float_to_bfloat(v);
    if (type == RowType::kFloat32) {
      std::memcpy(&row[j * 4], &v, 4);
    } else {
      std::memcpy(&row[j * 2], &half, 2);
    }
  }
}

// A block of bytes that ends where its memory does.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t bytes) : bytes_(bytes), block_((bytes + 3) / 4) {}
  uint8_t* data() { return reinterpret_cast<uint8_t*>(block_.data() + block_.size()) - bytes_; }
  size_t size() const { return bytes_; }

 private:
  size_t bytes_;
  Guarded block_;
};

class StoredRow : public GuardedBytes {
 public:
  StoredRow(RowType type, size_t dim, uint32_t seed) : GuardedBytes(stored_row_bytes(type, dim)) {
    fill_stored_row(type, dim, seed, data());
  }
};

}  // namespace gyr::kernels
