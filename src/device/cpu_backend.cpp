// The CPU as a backend: the operations of backend.h by way of the SIMD kernels and the runtime's threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/math.h"
#include "device/device.h"
#include "kernels/kernels.h"

// The opened CPU device and its prepared weights.
struct gyr_backend_device {
  gyr_host_api host;
};
struct gyr_backend_weights {
  uint64_t k, n;
  float* packed;
};

namespace gyr {

namespace {

constexpr uint64_t kAlign = 64;
constexpr uint64_t kBlock = 512;  // rows scored at a time: the scores stay in L1
constexpr uint64_t kRows = 64;    // of a dense layer's input per item of work
constexpr uint32_t kNoRow = UINT32_MAX;

gyr_status error(const gyr_host_api& host, gyr_error* err, gyr_status code, const char* text) {
  host.set_error(err, code, "cpu", text);
  return code;
}

gyr_status count_devices(void*, uint32_t* count, gyr_error*) {
  *count = 1;
  return GYR_OK;
}

gyr_status device_info(void* backend, uint32_t ordinal, gyr_device_info* out, gyr_error* err) {
  if (ordinal != 0)
    return error(*static_cast<gyr_host_api*>(backend), err, GYR_E_OUT_OF_RANGE, "there is one CPU device");
  *out = describe_cpu();
  return GYR_OK;
}

gyr_status device_open(void* backend, uint32_t ordinal, gyr_backend_device** out, gyr_error* err) {
  auto* host = static_cast<gyr_host_api*>(backend);
  if (ordinal != 0) return error(*host, err, GYR_E_OUT_OF_RANGE, "there is one CPU device");
  *out = new (std::nothrow) gyr_backend_device{*host};
  return *out ? GYR_OK : error(*host, err, GYR_E_OUT_OF_MEMORY, "out of memory");
}

void device_close(gyr_backend_device* device) { delete device; }

gyr_status device_alloc(gyr_backend_device* device, uint64_t size, void** out, gyr_error* err) {
  void* p = device->host.alloc(device->host.host, size, kAlign);
  if (!p) return error(device->host, err, GYR_E_OUT_OF_MEMORY, "out of memory or over the runtime's memory_budget");
  *out = p;
  return GYR_OK;
}

void device_free(gyr_backend_device* device, void* p, uint64_t size) {
  device->host.free(device->host.host, p, size, kAlign);
}

gyr_status copy(gyr_backend_device*, void* to, const void* from, uint64_t size, gyr_error*) {
  if (size) std::memcpy(to, from, size);
  return GYR_OK;
}

uint64_t weights_bytes(const gyr_backend_weights& w) { return kernels::packed_size(w.k, w.n) * sizeof(float); }

gyr_status dense_prepare(gyr_backend_device* device, const float* w, uint64_t k, uint64_t n, gyr_backend_weights** out,
                         gyr_error* err) {
  uint64_t padded, count, bytes;
  if (!checked_add(n, kernels::kPanel, &padded) || !checked_mul(padded, k, &count) || !checked_mul(count, 4, &bytes))
    return error(device->host, err, GYR_E_OUT_OF_RANGE, "dense_prepare: the weights are larger than memory");
  auto* weights = new (std::nothrow) gyr_backend_weights{k, n, nullptr};
  void* p = nullptr;
  if (weights) p = device->host.alloc(device->host.host, weights_bytes(*weights), kAlign);
  if (!p) {
    delete weights;
    return error(device->host, err, GYR_E_OUT_OF_MEMORY, "out of memory or over the runtime's memory_budget");
  }
  weights->packed = static_cast<float*>(p);
  kernels::pack_weights(w, k, n, weights->packed);
  *out = weights;
  return GYR_OK;
}

void dense_release(gyr_backend_device* device, gyr_backend_weights* weights) {
  if (!weights) return;
  device->host.free(device->host.host, weights->packed, weights_bytes(*weights), kAlign);
  delete weights;
}

// The k best so far as a heap with the worst on top, in the caller's output arrays.
struct Heap {
  uint32_t* rows;
  float* scores;
  uint64_t size, capacity;

  bool worse(uint64_t a, uint64_t b) const {  // ties: the higher row number is worse
    return scores[a] != scores[b] ? scores[a] < scores[b] : rows[a] > rows[b];
  }
  void swap(uint64_t a, uint64_t b) {
    std::swap(rows[a], rows[b]);
    std::swap(scores[a], scores[b]);
  }
  void sink(uint64_t at, uint64_t end) {
    for (;;) {
      uint64_t worst = at;
      for (uint64_t child : {2 * at + 1, 2 * at + 2})
        if (child < end && worse(child, worst)) worst = child;
      if (worst == at) return;
      swap(at, worst);
      at = worst;
    }
  }
  // Rows come in ascending order, so an equal score never displaces an earlier row.
  void offer(uint32_t row, float score) {
    if (size < capacity) {
      uint64_t at = size++;
      rows[at] = row;
      scores[at] = score;
      for (; at > 0 && worse(at, (at - 1) / 2); at = (at - 1) / 2) swap(at, (at - 1) / 2);
    } else if (score > scores[0]) {
      rows[0] = row;
      scores[0] = score;
      sink(0, size);
    }
  }
  void sort() {
    for (uint64_t end = size; end > 1;) {
      swap(0, --end);
      sink(0, end);
    }
    for (uint64_t i = size; i < capacity; i++) {
      rows[i] = kNoRow;
      scores[i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
};

void topk_one(const gyr_op_topk& op, uint64_t query) {
  const kernels::Ops& ops = kernels::best();
  auto score_rows = op.l2 ? ops.l2_rows : ops.dot_rows;
  Heap heap{op.out_rows + query * op.k, op.out_scores + query * op.k, 0, op.k};
  float scores[kBlock];
  for (uint64_t begin = 0; begin < op.n_rows; begin += kBlock) {
    uint64_t n = std::min(kBlock, op.n_rows - begin);
    score_rows(op.queries + query * op.dim, op.rows + begin * op.stride, n, op.dim, op.stride, scores);
    for (uint64_t i = 0; i < n; i++)
      if (!std::isnan(scores[i])) heap.offer(uint32_t(begin + i), scores[i]);
  }
  heap.sort();
}

template <class Body>
void parallel(const gyr_backend_device* device, uint64_t n, const Body& body) {
  device->host.parallel_for(
      device->host.host, n, [](void* ctx, uint64_t i) { (*static_cast<const Body*>(ctx))(i); },
      const_cast<Body*>(&body));
}

gyr_status topk(gyr_backend_device* device, const gyr_op_topk* op, gyr_error* err) {
  if (op->stride < op->dim || op->n_rows >= kNoRow || op->k == 0)
    return error(device->host, err, GYR_E_INVALID_ARGUMENT,
                 "topk: needs stride >= dim, fewer than 2^32 - 1 rows, k >= 1");
  parallel(device, op->n_queries, [op](uint64_t query) { topk_one(*op, query); });
  return GYR_OK;
}

void pool_one(const gyr_op_embed_pool& op, uint64_t bag) {
  const kernels::Ops& ops = kernels::best();
  float* out = op.out + bag * op.dim;
  uint64_t begin = op.offsets[bag], end = op.offsets[bag + 1];
  std::fill_n(out, op.dim, 0.0f);
  for (uint64_t i = begin; i < end; i++)
    ops.axpy(op.weights ? op.weights[i] : 1.0f, op.table + op.rows[i] * op.dim, out, op.dim);
  if (op.mean && end > begin) ops.scale(1.0f / float(end - begin), out, op.dim);
}

gyr_status embed_pool(gyr_backend_device* device, const gyr_op_embed_pool* op, gyr_error* err) {
  if (op->n_bags == 0) return GYR_OK;
  for (uint64_t b = 0; b < op->n_bags; b++)
    if (op->offsets[b] > op->offsets[b + 1])
      return error(device->host, err, GYR_E_INVALID_ARGUMENT, "embed_pool: offsets must not decrease");
  for (uint64_t i = op->offsets[0]; i < op->offsets[op->n_bags]; i++)
    if (op->rows[i] >= op->n_rows)
      return error(device->host, err, GYR_E_OUT_OF_RANGE, "embed_pool: a row number is beyond the table");
  parallel(device, op->n_bags, [op](uint64_t bag) { pool_one(*op, bag); });
  return GYR_OK;
}

gyr_status dense(gyr_backend_device* device, const gyr_op_dense* op, gyr_error* err) {
  const gyr_backend_weights& w = *op->weights;
  if (op->activation > uint32_t(kernels::Activation::kTanh) || op->ldx < w.k || op->ldy < w.n)
    return error(device->host, err, GYR_E_INVALID_ARGUMENT, "dense: unknown activation, or ldx < k, or ldy < n");
  parallel(device, div_up(op->m, kRows), [op, &w](uint64_t i) {
    uint64_t begin = i * kRows, rows = std::min(kRows, op->m - begin);
    kernels::best().gemm_packed(op->x + begin * op->ldx, op->ldx, w.packed, op->bias, op->y + begin * op->ldy, op->ldy,
                                rows, w.k, w.n, kernels::Activation(op->activation));
  });
  return GYR_OK;
}

void shutdown(void* backend) { delete static_cast<gyr_host_api*>(backend); }

}  // namespace

gyr_status cpu_backend_entry(const gyr_host_api* host, gyr_backend_api* out, gyr_error* err) {
  auto* copy_of_host = new (std::nothrow) gyr_host_api(*host);
  if (!copy_of_host) return error(*host, err, GYR_E_OUT_OF_MEMORY, "out of memory");
  out->name = "cpu";
  out->build = kernels::best().name;
  out->backend = copy_of_host;
  out->device_count = count_devices;
  out->device_info = device_info;
  out->device_open = device_open;
  out->device_close = device_close;
  out->alloc = device_alloc;
  out->free = device_free;
  out->copy_in = copy;
  out->copy_out = copy;
  out->dense_prepare = dense_prepare;
  out->dense_release = dense_release;
  out->topk = topk;
  out->embed_pool = embed_pool;
  out->dense = dense;
  out->shutdown = shutdown;
  return GYR_OK;
}

}  // namespace gyr
