// Arrow format strings as what import needs to know (https://arrow.apache.org/docs/format/CDataInterface.html).
#pragma once

#include <gyr/data.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace gyr {

enum class ArrowKind : uint8_t {
  kNull,
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat32,
  kFloat64,
  kUtf8,
  kLargeUtf8,
  kUtf8View,
  kDate32,
  kTimestamp,
};

struct ArrowLeafType {
  ArrowKind kind = ArrowKind::kNull;  // of the values; of the dictionary's values when has_dictionary
  gyr_dtype dtype = GYR_DTYPE_NONE;
  int64_t multiply = 1, divide = 1;  // to microseconds
  bool has_dictionary = false;
  ArrowKind index = ArrowKind::kNull;
};

enum class ArrowList : uint8_t { kNone, kOffsets32, kOffsets64, kFixed };

struct ArrowType {
  std::string name;
  ArrowLeafType leaf;
  ArrowList list = ArrowList::kNone;
  int64_t fixed_size = 0;
};

// The columns of a record batch's schema.
Status parse_arrow_schema(const ArrowSchema& schema, std::vector<ArrowType>* out);

}  // namespace gyr
