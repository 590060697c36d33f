/* A backend plugin with two pretended devices; each FAKE_ variant breaks one thing. */
#include <stdio.h>
#include <string.h>

#include "device/backend.h"

#if defined FAKE_NOTE_ABI
__attribute__((section(".note.gyr.backend"), used, aligned(4))) static const struct gyr_backend_note_section note = {
    4, sizeof(gyr_backend_note), GYR_BACKEND_NOTE_TYPE, {'g', 'y', 'r', 0}, {9, 9, 0, 0, "fake", ""}};
#elif defined FAKE_OLD_DRIVER
GYR_BACKEND_NOTE("fake", 99010, "sm_90");
#elif !defined FAKE_NO_NOTE
GYR_BACKEND_NOTE("fake", 12000, "sm_90");
#endif

#ifdef FAKE_MISSING_DEPENDENCY
__attribute__((visibility("default"))) void gyr_fake_symbol_that_nobody_has(void);
void use_it(void) { gyr_fake_symbol_that_nobody_has(); }
#endif

/* Each runtime is a host of its own, and their plugins are this one library: `backend` is the host. */
static gyr_status lost(const gyr_host_api* host, gyr_error* err) {
  host->set_error(err, GYR_E_DEVICE_LOST, "fake", "the fake device fell off the bus");
  return GYR_E_DEVICE_LOST;
}
/* LOST: the device opens and is gone from then on. */
#ifdef FAKE_LOST
#define IF_LOST(d, err) return lost(d->host, err)
#else
#define IF_LOST(d, err) (void)lost
#endif
static int opened;
struct gyr_backend_device {
  const gyr_host_api* host;
};
static struct gyr_backend_device devices[2];

static gyr_status count_devices(void* b, uint32_t* count, gyr_error* err) {
  (void)b, (void)err;
#ifdef FAKE_LOST_COUNT
  return lost(b, err);
#endif
  *count = 2;
  return GYR_OK;
}
static gyr_status device_info(void* b, uint32_t ordinal, gyr_device_info* out, gyr_error* err) {
  (void)b, (void)err;
#ifdef FAKE_LOST_INFO
  if (ordinal == 1) return lost(b, err);
#endif
  out->kind = ordinal == 0 ? GYR_DEVICE_GPU : GYR_DEVICE_MIG;
  snprintf(out->uuid, sizeof out->uuid, "%s-fake-%u", ordinal == 0 ? "GPU" : "MIG", ordinal);
  snprintf(out->selector, sizeof out->selector, "cuda:%.50s", out->uuid);
  out->total_bytes = 1000;
  out->free_bytes = 900;
  return GYR_OK;
}
static gyr_status device_open(void* b, uint32_t ordinal, gyr_backend_device** out, gyr_error* err) {
  (void)b;
#ifdef FAKE_LOST_OPEN
  return lost(b, err);
#endif
  if (opened >= 1) {
    ((const gyr_host_api*)b)->set_error(err, GYR_E_DEVICE, "fake", "the fake device is taken");
    return GYR_E_DEVICE;
  }
  opened++;
  devices[ordinal].host = b;
  *out = &devices[ordinal];
  return GYR_OK;
}
static void device_close(gyr_backend_device* d) { (void)d, opened--; }
static gyr_status device_alloc(gyr_backend_device* d, uint64_t size, void** out, gyr_error* err) {
  (void)d, (void)err;
  IF_LOST(d, err);
  *out = d->host->alloc(d->host->host, size, 64);
  return *out ? GYR_OK : GYR_E_OUT_OF_MEMORY;
}
static void device_free(gyr_backend_device* d, void* p, uint64_t size) {
  (void)d;
  d->host->free(d->host->host, p, size, 64);
}
static gyr_status copy(gyr_backend_device* d, void* to, const void* from, uint64_t size, gyr_error* err) {
  (void)d, (void)err;
  IF_LOST(d, err);
  memcpy(to, from, size);
  return GYR_OK;
}
static gyr_status dense_prepare(gyr_backend_device* d, const float* w, uint64_t k, uint64_t n,
                                gyr_backend_weights** out, gyr_error* err) {
  (void)d, (void)w, (void)k, (void)n, (void)out, (void)err;
  IF_LOST(d, err);
  return GYR_E_UNSUPPORTED;
}
static void dense_release(gyr_backend_device* d, gyr_backend_weights* w) { (void)d, (void)w; }
__attribute__((unused)) static gyr_status topk(gyr_backend_device* d, const gyr_op_topk* op, gyr_error* err) {
  (void)d, (void)op, (void)err;
  IF_LOST(d, err);
  return GYR_E_UNSUPPORTED;
}
static gyr_status embed_pool(gyr_backend_device* d, const gyr_op_embed_pool* op, gyr_error* err) {
  (void)d, (void)op, (void)err;
  IF_LOST(d, err);
  return GYR_E_UNSUPPORTED;
}
static gyr_status dense(gyr_backend_device* d, const gyr_op_dense* op, gyr_error* err) {
  (void)d, (void)op, (void)err;
  IF_LOST(d, err);
  return GYR_E_UNSUPPORTED;
}
static void shut_down(void* b) {
  const gyr_host_api* host = b;
  host->log(host->host, 3, "fake", "shutdown");
}

#ifdef FAKE_NO_SYMBOL
#define ENTRY gyr_another_symbol
#else
#define ENTRY gyr_backend_entry_v1
#endif

__attribute__((visibility("default"))) gyr_status ENTRY(const gyr_host_api* host, gyr_backend_api* out, gyr_error* err);
gyr_status ENTRY(const gyr_host_api* host, gyr_backend_api* out, gyr_error* err) {
#ifdef FAKE_REFUSES
  host->set_error(err, GYR_E_DEVICE, "fake", "the fake plugin does not feel like it");
  return GYR_E_DEVICE;
#endif
  (void)err;
  out->backend = (void*)host;
  out->struct_size = sizeof *out;
#ifdef FAKE_TABLE_ABI
  out->abi_minor = 77;
#endif
  out->name = "cuda";
  out->build = "fake";
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
#ifndef FAKE_INCOMPLETE
  out->topk = topk;
#endif
  out->embed_pool = embed_pool;
  out->dense = dense;
  out->shutdown = shut_down;
  return GYR_OK;
}
