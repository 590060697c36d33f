// Vectors from elsewhere into an index, a chunk at a time: what is held beside the index does not grow with the source.
#pragma once

#include <functional>
#include <string>

#include "data/arrow.h"
#include "data/dlpack.h"
#include "index/index.h"
#include "kernels/kernels.h"

namespace gyr::index {

enum class Element : uint8_t { kFloat32, kFloat16, kBfloat16, kInt8, kUint8 };
constexpr uint64_t element_bytes(Element e) {
  return e == Element::kFloat32 ? 4 : e == Element::kFloat16 || e == Element::kBfloat16 ? 2 : 1;
}
// n vectors [dim], `stride` bytes apart, as floats.
void widen(Element element, const uint8_t* from, uint64_t stride, uint64_t n, uint32_t dim, float* out);

// Fills rows [0, *n) of at most `most`; *n = 0 at the end. `first`: how many came before.
struct Chunk {
  int64_t* ids;
  float* vectors;
  uint64_t first, most;
};
using ChunkSource = std::function<Status(const Chunk& chunk, uint64_t* n)>;
// An id that comes again replaces what came before. `what` begins messages. total: 0 = not known.
Status upsert_chunks(Runtime* runtime, Index* index, const char* what, uint64_t total, const ChunkSource& next,
                     gyr_task* task);

// What gives a row its id: ids [n], or `first` + its number when null.
struct Numbers {
  const int64_t* ids;
  uint64_t n;
  int64_t first;
};
Status upsert_tensor(Runtime* runtime, Index* index, const DlTensor& tensor, const int64_t* ids, uint64_t n,
                     gyr_task* task);
Status upsert_file(Runtime* runtime, Index* index, const std::string& path, const Numbers& numbers, gyr_task* task);
Status upsert_arrow(Runtime* runtime, Index* index, ArrowArrayStream* stream, const char* id_column,
                    const char* vector_column, gyr_task* task);

}  // namespace gyr::index
