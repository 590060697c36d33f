#include "index/stream.h"

#include <algorithm>
#include <numeric>

#include "base/knobs.h"
#include "index/array.h"

namespace gyr::index {
namespace {

constexpr uint64_t kRows = 65536, kFloats = 1 << 23;  // of a chunk, at most

// Moves the last row of each id to the front, in their order. Returns how many remain.
uint64_t keep_last(int64_t* ids, float* vectors, uint64_t n, uint32_t dim, Array<uint32_t>* order) {
  order->resize(n);
  std::iota(order->begin(), order->end(), 0);
  std::sort(order->begin(), order->end(),
            [&](uint32_t a, uint32_t b) { return ids[a] < ids[b] || (ids[a] == ids[b] && a < b); });
  uint64_t kept = 0;
  for (uint64_t i = 0; i < n; i++)
    if (i + 1 == n || ids[(*order)[i]] != ids[(*order)[i + 1]]) (*order)[kept++] = (*order)[i];
  if (kept == n) return n;
  std::sort(order->begin(), order->begin() + ptrdiff_t(kept));
  for (uint64_t i = 0; i < kept; i++) {
    const uint32_t from = (*order)[i];
    ids[i] = ids[from];
    if (from != i) std::copy_n(vectors + uint64_t(from) * dim, dim, vectors + i * dim);
  }
  return kept;
}

}  // namespace

void widen(Element element, const uint8_t* from, uint64_t stride, uint64_t n, uint32_t dim, float* out) {
  constexpr uint64_t kAtOnce = 256;
  const auto type = element == Element::kFloat16 ? kernels::RowType::kFloat16 : kernels::RowType::kBfloat16;
  const void* rows[kAtOnce];
  for (uint64_t i = 0; i < n; i++) {
    const uint8_t* row = from + i * stride;
    float* to = out + i * dim;
    switch (element) {
      case Element::kFloat32:
        std::memcpy(to, row, uint64_t(dim) * 4);
        break;
      case Element::kInt8:
        for (uint32_t d = 0; d < dim; d++) to[d] = float(int8_t(row[d]));
        break;
      case Element::kUint8:
        for (uint32_t d = 0; d < dim; d++) to[d] = float(row[d]);
        break;
      default: {
        const uint64_t batch = std::min(kAtOnce, n - i);
        for (uint64_t j = 0; j < batch; j++) rows[j] = from + (i + j) * stride;
        kernels::best().unpack_rows(type, rows, batch, dim, nullptr, to);
        i += batch - 1;
      }
    }
  }
}

Status upsert_chunks(Runtime* runtime, Index* index, const char* what, uint64_t total, const ChunkSource& next,
                     gyr_task* task) {
  gyr_index_info info{};
  index->fill_info(&info);
  const uint64_t most = knobs::capacity(std::clamp<uint64_t>(kFloats / info.dim, 256, kRows));
  Array<int64_t> ids(most, 0, Aligned<int64_t>(runtime->memory()));
  Array<float> vectors(most * info.dim, 0, Aligned<float>(runtime->memory()));
  Array<uint32_t> order(Aligned<uint32_t>{runtime->memory()});
  const auto inflow = index->inflow(total);
  set_phase(task, "upsert", total);
  for (uint64_t first = 0;;) {
    GYR_TRY(check(task));
    uint64_t n = 0;
    GYR_TRY(next({ids.data(), vectors.data(), first, most}, &n));
    if (n == 0) return inflow->finish(task);
    GYR_TRY(inflow->check(what, first, vectors.data(), n));
    const uint64_t kept = keep_last(ids.data(), vectors.data(), n, info.dim, &order);
    GYR_TRY(inflow->append(ids.data(), vectors.data(), kept, task));
    advance(task, n - kept);
    first += n;
  }
}

Status upsert_tensor(Runtime* runtime, Index* index, const DlTensor& t, const int64_t* ids, uint64_t n,
                     gyr_task* task) {
  gyr_index_info info{};
  index->fill_info(&info);
  auto refuse = [](const char* what) { return fail(GYR_E_INVALID_ARGUMENT, "index", "tensor: %s", what); };
  if (t.device_type != DlTensor::kCpu && t.device_type != DlTensor::kPinned)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "tensor: it is on a device of type %d; copy it to the CPU first",
                t.device_type);
  Element element;
  if (t.code == DlTensor::kFloat && t.bits == 32)
    element = Element::kFloat32;
  else if (t.code == DlTensor::kFloat && t.bits == 16)
    element = Element::kFloat16;
  else if (t.code == DlTensor::kBfloat && t.bits == 16)
    element = Element::kBfloat16;
  else if (t.code == DlTensor::kInt && t.bits == 8)
    element = Element::kInt8;
  else if (t.code == DlTensor::kUint && t.bits == 8)
    element = Element::kUint8;
  else
    return fail(GYR_E_INVALID_ARGUMENT, "index",
                "tensor: its type has code %u and %u bits; expected float32, float16, bfloat16, int8 or uint8", t.code,
                t.bits);
  if (t.lanes != 1) return refuse("its type has several lanes; expected one");
  if (t.ndim != 2 || !t.shape) return refuse("it is no matrix; expected 2 dimensions");
  if (t.shape[0] < 0 || uint64_t(t.shape[0]) != n || t.shape[1] != int64_t(info.dim))
    return fail(GYR_E_INVALID_ARGUMENT, "index", "tensor: its shape is (%lld, %lld); expected (%llu, %u)",
                (long long)t.shape[0], (long long)t.shape[1], (unsigned long long)n, info.dim);
  if (t.strides && t.strides[1] != 1 && info.dim > 1)
    return refuse("its rows are not contiguous (column-major or sliced); pass a row-major copy");
  const int64_t stride = t.strides ? t.strides[0] : t.shape[1];
  if (n > 1 && stride < t.shape[1]) return refuse("its rows overlap or run backwards; pass a row-major copy");
  if (n > 0 && !t.data) return refuse("it has no data");
  const uint64_t row_bytes = uint64_t(stride) * element_bytes(element);
  const uint8_t* data = static_cast<const uint8_t*>(t.data) + t.byte_offset;
  auto next = [&](const Chunk& c, uint64_t* rows) -> Status {
    *rows = std::min(c.most, n - c.first);
    std::copy_n(ids + c.first, *rows, c.ids);
    widen(element, data + c.first * row_bytes, row_bytes, *rows, info.dim, c.vectors);
    return {};
  };
  return upsert_chunks(runtime, index, "tensor", n, next, task);
}

}  // namespace gyr::index
