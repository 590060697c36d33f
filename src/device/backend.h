/* The boundary to a compute backend: two C tables, no shared symbols. A plugin exports exactly one symbol,
 * gyr_backend_entry_v1, takes the host's services and fills the table of coarse operations. The CPU backend fills the
 * same table inside the library. Tables only grow at the end; until 1.0 both sides must have equal abi numbers.
 * C11, so that a plugin needs nothing of ours but this header and gyr/device.h. Not a public interface before 1.0. */
#ifndef GYR_DEVICE_BACKEND_H
#define GYR_DEVICE_BACKEND_H

#include <gyr/device.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { GYR_BACKEND_ABI_MAJOR = 0, GYR_BACKEND_ABI_MINOR = 1 };
#define GYR_BACKEND_ABI_TEXT "0.1"

/** What the library offers a backend. Valid from the entry call until shutdown returns; any thread may call. */
typedef struct gyr_host_api {
  uint32_t struct_size, abi_major, abi_minor, reserved;
  void* host; /**< first argument of the calls below */
  void (*log)(void* host, int32_t level, const char* component, const char* message);
  void* (*alloc)(void* host, uint64_t size, uint64_t align); /**< counted in the memory budget; NULL = refused */
  void (*free)(void* host, void* p, uint64_t size, uint64_t align);
  void (*set_error)(gyr_error* err, gyr_status code, const char* component, const char* text);
  int64_t (*clock_ns)(void); /**< monotonic */
  void (*parallel_for)(void* host, uint64_t n, void (*body)(void* ctx, uint64_t i), void* ctx);
} gyr_host_api;

typedef struct gyr_backend_device gyr_backend_device;   /* an opened device: one context, one stream */
typedef struct gyr_backend_weights gyr_backend_weights; /* a dense layer's weights in the backend's own layout */

/** The k best of `rows` for each query: score descending, then row number ascending. Score: inner product, or minus the
 * squared distance when l2 is 1. NaN scores never win. Places beyond the rows get UINT32_MAX and NaN. */
typedef struct gyr_op_topk {
  uint32_t struct_size, l2;
  uint64_t n_queries, n_rows, dim;
  uint64_t stride; /**< floats between rows, >= dim */
  uint64_t k;
  const float* queries; /**< [n_queries, dim] */
  const float* rows;
  uint32_t* out_rows; /**< [n_queries, k] */
  float* out_scores;  /**< [n_queries, k] */
} gyr_op_topk;

/** out[b] = sum over i in [offsets[b], offsets[b+1]) of weights[i] * table[rows[i]], divided by the count when mean is
 * 1; an empty bag gives zeros. A row number >= n_rows is an error. */
typedef struct gyr_op_embed_pool {
  uint32_t struct_size, mean;
  uint64_t n_bags, n_rows, dim;
  const float* table;      /**< [n_rows, dim] */
  const uint32_t* rows;    /**< [offsets[n_bags]] */
  const uint64_t* offsets; /**< [n_bags + 1] */
  const float* weights;    /**< nullable = 1 */
  float* out;              /**< [n_bags, dim] */
} gyr_op_embed_pool;

/** y[m, n] = act(x[m, k] w[k, n] + bias[n]) with prepared weights. activation: 0 none, 1 relu, 2 sigmoid, 3 tanh. */
typedef struct gyr_op_dense {
  uint32_t struct_size, activation;
  uint64_t m, ldx, ldy;
  const gyr_backend_weights* weights;
  const float* x;
  const float* bias; /**< nullable */
  float* y;
} gyr_op_dense;

/** What a backend can do. All pointers in operations are device memory from alloc() (the CPU's is host memory). Calls
 * on one opened device come from one thread at a time; different devices are independent. Operations are complete when
 * they return. A backend leaves no context, device selection or environment changed on the calling thread. */
typedef struct gyr_backend_api {
  uint32_t struct_size, abi_major, abi_minor, reserved;
  const char* name;  /**< "cpu", "cuda" */
  const char* build; /**< which sources and compiler; for the log */
  void* backend;
  gyr_status (*device_count)(void* backend, uint32_t* count, gyr_error* err);
  gyr_status (*device_info)(void* backend, uint32_t ordinal, gyr_device_info* out, gyr_error* err);
  gyr_status (*device_open)(void* backend, uint32_t ordinal, gyr_backend_device** out, gyr_error* err);
  void (*device_close)(gyr_backend_device* device);
  gyr_status (*alloc)(gyr_backend_device* device, uint64_t size, void** out, gyr_error* err);
  void (*free)(gyr_backend_device* device, void* p, uint64_t size);
  gyr_status (*copy_in)(gyr_backend_device* device, void* to, const void* from_host, uint64_t size, gyr_error* err);
  gyr_status (*copy_out)(gyr_backend_device* device, void* to_host, const void* from, uint64_t size, gyr_error* err);
  /* w is host memory, [k, n] row-major. */
  gyr_status (*dense_prepare)(gyr_backend_device* device, const float* w, uint64_t k, uint64_t n,
                              gyr_backend_weights** out, gyr_error* err);
  void (*dense_release)(gyr_backend_device* device, gyr_backend_weights* weights);
  gyr_status (*topk)(gyr_backend_device* device, const gyr_op_topk* op, gyr_error* err);
  gyr_status (*embed_pool)(gyr_backend_device* device, const gyr_op_embed_pool* op, gyr_error* err);
  gyr_status (*dense)(gyr_backend_device* device, const gyr_op_dense* op, gyr_error* err);
  void (*shutdown)(void* backend); /**< after the last device_close; not called at process exit */
} gyr_backend_api;

/** The one exported symbol. `out` arrives zeroed with struct_size and abi numbers of the library; the plugin writes its
 * own and not beyond struct_size. */
typedef gyr_status (*gyr_backend_entry)(const gyr_host_api* host, gyr_backend_api* out, gyr_error* err);
#define GYR_BACKEND_ENTRY "gyr_backend_entry_v1"

/** What the loader reads from the file before any code of the plugin runs: an ELF note in .note.gyr.backend. */
typedef struct gyr_backend_note {
  uint32_t abi_major, abi_minor;
  uint32_t min_driver; /**< CUDA driver version as cuDriverGetVersion counts (12040 = 12.4); 0 = none needed */
  uint32_t reserved;
  char build[48]; /**< NUL-terminated */
  char archs[64]; /**< "sm_80 sm_90", NUL-terminated */
} gyr_backend_note;

struct gyr_backend_note_section {
  uint32_t name_size, note_size, type;
  char name[4];
  gyr_backend_note note;
};
enum { GYR_BACKEND_NOTE_TYPE = 1 };
/** Put once into a plugin's source. */
#define GYR_BACKEND_NOTE(BUILD, MIN_DRIVER, ARCHS)                                                   \
  __attribute__((section(".note.gyr.backend"), used,                                                 \
                 aligned(4))) static const struct gyr_backend_note_section gyr_backend_note_data = { \
      4,                                                                                             \
      sizeof(gyr_backend_note),                                                                      \
      GYR_BACKEND_NOTE_TYPE,                                                                         \
      {'g', 'y', 'r', 0},                                                                            \
      {GYR_BACKEND_ABI_MAJOR, GYR_BACKEND_ABI_MINOR, MIN_DRIVER, 0, BUILD, ARCHS}}

#ifdef __cplusplus
}
#endif
#endif
