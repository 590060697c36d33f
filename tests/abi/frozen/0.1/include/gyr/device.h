/* gyr/device.h: what can compute. Selection strings: "auto", "cpu", "cuda:0", "cuda:GPU-<uuid>",
 * "cuda:MIG-<uuid>", "cuda:mig" (smallest free MIG slice that fits). "auto" falls back to "cpu" and says why in
 * gyr_runtime_info.device_reason; a named device fails with GYR_E_BACKEND_UNAVAILABLE. */
#ifndef GYR_DEVICE_H
#define GYR_DEVICE_H

#include <gyr/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A CPU, a whole GPU, or a MIG slice of one. */
typedef int32_t gyr_device_kind;
enum { GYR_DEVICE_CPU = 1, GYR_DEVICE_GPU = 2, GYR_DEVICE_MIG = 3 };

/** One device. */
typedef struct gyr_device_info {
  uint32_t struct_size;
  gyr_device_kind kind;   /**< what it is */
  char selector[64];      /**< what gyr_runtime_options.device takes */
  char name[96];          /**< product or CPU model name */
  char uuid[64];          /**< empty for the CPU */
  char pci_bus_id[32];    /**< empty when unknown */
  uint64_t total_bytes;   /**< device memory (CPU: RAM) */
  uint64_t free_bytes;    /**< now; 0 = unknown */
  uint32_t units;         /**< SMs of a GPU or slice, cores of the CPU */
  int32_t numa_node;      /**< -1 = unknown */
  uint32_t usable;        /**< 1 = a loaded backend can run on it */
  uint32_t reserved;
  char reason[256];       /**< why it is not usable, else empty */
} gyr_device_info;

/** Lists devices, CPU first, then GPUs and MIG slices that NVML reports. Works without any GPU, driver or plugin;
 * creates no CUDA context.
 * @param out array of `capacity` entries, out[0].struct_size set by the caller; NULL to ask for the count
 * @param capacity entries in out
 * @param count receives the number of devices (may exceed capacity; then only `capacity` are filled)
 * @param err nullable
 * @return GYR_OK
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking reads sysfs, may open the NVIDIA management library
 * @since 0.1 */
GYR_API gyr_status gyr_device_list(gyr_device_info *out, uint64_t capacity, uint64_t *count,
                                   gyr_error *err) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
