// Counter-based random numbers: the same (seed, stream) gives the same sequence on every machine and thread count.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/hash.h"

namespace gyr {

class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : state_(mix64(seed) ^ mix64(stream + 0x5bd1e995)) {}
  uint64_t next() { return mix64(state_++); }
  // [0, 1) with 53 bits.
  double uniform() { return double(next() >> 11) * 0x1.0p-53; }
  // [0, n); multiply-shift (Lemire 2019), bias below 2^-32 for n < 2^32.
  uint64_t below(uint64_t n) { return uint64_t((unsigned __int128)next() * n >> 64); }
  // Box-Muller, one of the pair.
  double normal() {
    double u = 1.0 - uniform(), v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  uint64_t state_;
};

}  // namespace gyr
