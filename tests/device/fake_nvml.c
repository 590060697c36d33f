/* NVIDIA's management library, pretended: GPU 0 whole, GPU 1 cut into two slices (numbers 0 and 2: the real numbering
 * has holes). MINIMAL has only what cannot be done without. */
#include <stdio.h>
#include <string.h>

#define API __attribute__((visibility("default")))

struct device {
  const char *uuid, *name;
  unsigned long long total;
};
static struct device gpus[2] = {{"GPU-aaaa", "Fake H200", 1000}, {"GPU-bbbb", "Fake H200", 1000}};
__attribute__((unused)) static struct device slices[2] = {{"MIG-cccc", "Fake H200 MIG 1g", 100}, {"MIG-dddd", "Fake H200 MIG 2g", 200}};

API int nvmlInit_v2(void) {
#ifdef FAKE_FAILS
  return 9;
#else
  return 0;
#endif
}
API int nvmlShutdown(void) { return 0; }
API int nvmlDeviceGetCount_v2(unsigned *n) {
#ifdef FAKE_EMPTY
  *n = 0;
#else
  *n = 2;
#endif
  return 0;
}
API int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **out) {
  *out = &gpus[i];
  return 0;
}
API const char *nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : "?"; }
#ifdef FAKE_FULL
API int nvmlSystemGetCudaDriverVersion_v2(int *v) {
  *v = 12040;
  return 0;
}
API int nvmlDeviceGetName(void *d, char *out, unsigned size) {
  snprintf(out, size, "%s", ((struct device *)d)->name);
  return 0;
}
API int nvmlDeviceGetUUID(void *d, char *out, unsigned size) {
  snprintf(out, size, "%s", ((struct device *)d)->uuid);
  return 0;
}
API int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *out) {
  out[0] = ((struct device *)d)->total;
  out[1] = out[0] / 2;
  out[2] = out[0] - out[1];
  return 0;
}
struct pci {
  char legacy[16];
  unsigned numbers[5];
  char bus[32];
};
API int nvmlDeviceGetPciInfo_v3(void *d, struct pci *out) {
  if (d != &gpus[0] && d != &gpus[1]) return 2;
  memset(out, 0, sizeof *out);
  snprintf(out->bus, sizeof out->bus, "00000000:%02X:00.0", d == &gpus[0] ? 0x1b : 0x2b);
  return 0;
}
API int nvmlDeviceGetNumGpuCores(void *d, unsigned *out) {
  (void)d;
  *out = 132 * 128;
  return 0;
}
API int nvmlDeviceGetCudaComputeCapability(void *d, int *major, int *minor) {
  (void)d;
  *major = 9;
  *minor = 0;
  return 0;
}
API int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *pending) {
  *now = *pending = d == &gpus[1];
  return 0;
}
API int nvmlDeviceGetMaxMigDeviceCount(void *d, unsigned *out) {
  (void)d;
  *out = 7;
  return 0;
}
API int nvmlDeviceGetMigDeviceHandleByIndex(void *d, unsigned i, void **out) {
  (void)d;
  if (i != 0 && i != 2) return 6;
  *out = &slices[i / 2];
  return 0;
}
struct attributes {
  unsigned multiprocessors, rest[7];
  unsigned long long memory_mb;
};
API int nvmlDeviceGetAttributes_v2(void *d, struct attributes *out) {
  memset(out, 0, sizeof *out);
  out->multiprocessors = d == &slices[0] ? 16 : 32;
  return 0;
}
#endif
