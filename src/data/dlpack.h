// A tensor in memory as DLPack describes it (https://dmlc.github.io/dlpack, version 0.8 and later), verbatim ABI.
#pragma once

#include <cstdint>

namespace gyr {

struct DlTensor {
  static constexpr int32_t kCpu = 1, kPinned = 3;  // device types that the host can read
  static constexpr uint8_t kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4;
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  const int64_t* shape;
  const int64_t* strides;  // in elements; null: row-major
  uint64_t byte_offset;
};

}  // namespace gyr
