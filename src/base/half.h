// 16-bit floats: IEEE binary16 and bfloat16, rounded to nearest, ties to even. Scalar: for writers and references.
#pragma once

#include <bit>
#include <cstdint>

namespace gyr {

inline float bfloat_to_float(uint16_t b) { return std::bit_cast<float>(uint32_t(b) << 16); }
inline uint16_t float_to_bfloat(float f) {  // finite in; values that round past the largest become infinite
  uint32_t u = std::bit_cast<uint32_t>(f);
  return uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

inline float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x400) return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
  float subnormal = float(rest) * 0x1p-24f;
  return sign ? -subnormal : subnormal;
}
inline uint16_t float_to_half(float f) {  // finite in; values that round past 65504 become infinite
  uint32_t u = std::bit_cast<uint32_t>(f), sign = u >> 16 & 0x8000;
  u &= 0x7fffffff;
  if (u >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (u < 0x38800000) {  // subnormal: adding 0.5 leaves the 24th bit after the point as the last, rounded
    float shifted = std::bit_cast<float>(u) + 0.5f;
    return uint16_t(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  return uint16_t(sign | ((u - (112u << 23) + 0xfff + (u >> 13 & 1)) >> 13));
}

}  // namespace gyr
