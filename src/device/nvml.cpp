#include "device/nvml.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

namespace gyr {

namespace {

// The parts of NVML's ABI that are used (NVML API reference, "Device Queries" and "Multi Instance GPU Management").
using Handle = void*;
struct Memory {
  unsigned long long total, free, used;
};
struct Attributes {  // nvmlDeviceAttributes_t
  unsigned multiprocessors, shared_copy, shared_decoder, shared_encoder, shared_jpeg, shared_ofa;
  unsigned gpu_slices, compute_slices;
  unsigned long long memory_mb;
};
struct PciInfo {  // nvmlPciInfo_t
  char legacy_bus_id[16];
  unsigned domain, bus, device, pci_device, pci_subsystem;
  char bus_id[32];
};

// Every function may be missing in some driver: a null one leaves its field unknown.
struct Nvml {
  int (*init)();
  int (*shutdown)();
  const char* (*error)(int);
  int (*cuda_driver)(int*);
  int (*count)(unsigned*);
  int (*handle)(unsigned, Handle*);
  int (*name)(Handle, char*, unsigned);
  int (*uuid)(Handle, char*, unsigned);
  int (*pci)(Handle, PciInfo*);
  int (*memory)(Handle, Memory*);
  int (*cores)(Handle, unsigned*);
  int (*capability)(Handle, int*, int*);
  int (*numa)(Handle, unsigned*);
  int (*mig_mode)(Handle, unsigned*, unsigned*);
  int (*mig_max)(Handle, unsigned*);
  int (*mig_handle)(Handle, unsigned, Handle*);
  int (*attributes)(Handle, Attributes*);
};

// The first of the names that exists: newest first.
template <class F>
void bind(void* lib, F* out, std::initializer_list<const char*> names) {
  *out = nullptr;
  for (const char* name : names) {
    if (*out) return;
    *out = reinterpret_cast<F>(dlsym(lib, name));
  }
}

Nvml bind_all(void* lib) {
  Nvml n;
  bind(lib, &n.init, {"nvmlInit_v2", "nvmlInit"});
  bind(lib, &n.shutdown, {"nvmlShutdown"});
  bind(lib, &n.error, {"nvmlErrorString"});
  bind(lib, &n.cuda_driver, {"nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"});
  bind(lib, &n.count, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"});
  bind(lib, &n.handle, {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"});
  bind(lib, &n.name, {"nvmlDeviceGetName"});
  bind(lib, &n.uuid, {"nvmlDeviceGetUUID"});
  bind(lib, &n.pci, {"nvmlDeviceGetPciInfo_v3"});
  bind(lib, &n.memory, {"nvmlDeviceGetMemoryInfo"});
  bind(lib, &n.cores, {"nvmlDeviceGetNumGpuCores"});
  bind(lib, &n.capability, {"nvmlDeviceGetCudaComputeCapability"});
  bind(lib, &n.numa, {"nvmlDeviceGetNumaNodeId"});
  bind(lib, &n.mig_mode, {"nvmlDeviceGetMigMode"});
  bind(lib, &n.mig_max, {"nvmlDeviceGetMaxMigDeviceCount"});
  bind(lib, &n.mig_handle, {"nvmlDeviceGetMigDeviceHandleByIndex"});
  bind(lib, &n.attributes, {"nvmlDeviceGetAttributes_v2", "nvmlDeviceGetAttributes"});
  return n;
}

// FP32 cores of one SM (CUDA C++ Programming Guide, "Compute Capabilities"); 0 = not in the table.
unsigned cores_per_sm(int major, int minor) {
  if (major == 7 || (major == 8 && minor == 0)) return 64;
  if (major >= 8) return 128;
  return 0;
}

gyr_device_info describe(const Nvml& n, Handle device, gyr_device_kind kind) {
  gyr_device_info d{};
  d.struct_size = sizeof d;
  d.kind = kind;
  d.numa_node = -1;
  if (n.name) n.name(device, d.name, sizeof d.name);
  if (n.uuid) n.uuid(device, d.uuid, sizeof d.uuid);
  d.name[sizeof d.name - 1] = d.uuid[sizeof d.uuid - 1] = 0;
  if (d.uuid[0]) std::snprintf(d.selector, sizeof d.selector, "cuda:%.58s", d.uuid);
  Memory memory{};
  if (n.memory && n.memory(device, &memory) == 0) {
    d.total_bytes = memory.total;
    d.free_bytes = memory.free;
  }
  PciInfo pci{};
  if (n.pci && n.pci(device, &pci) == 0) std::snprintf(d.pci_bus_id, sizeof d.pci_bus_id, "%.31s", pci.bus_id);
  unsigned node = 0;
  if (n.numa && n.numa(device, &node) == 0 && node < 1u << 20) d.numa_node = int32_t(node);
  return d;
}

void add_slices(const Nvml& n, Handle gpu, const gyr_device_info& parent, std::vector<gyr_device_info>* out) {
  unsigned mode = 0, pending = 0, most = 0;
  if (!n.mig_mode || !n.mig_max || !n.mig_handle) return;
  if (n.mig_mode(gpu, &mode, &pending) != 0 || mode != 1 || n.mig_max(gpu, &most) != 0) return;
  for (unsigned i = 0; i < most && i < 64; i++) {
    Handle slice;
    if (n.mig_handle(gpu, i, &slice) != 0) continue;  // the numbering has holes
    gyr_device_info d = describe(n, slice, GYR_DEVICE_MIG);
    Attributes a{};
    if (n.attributes && n.attributes(slice, &a) == 0) {
      d.units = a.multiprocessors;
      if (!d.total_bytes) d.total_bytes = uint64_t(a.memory_mb) << 20;
    }
    if (!d.pci_bus_id[0]) std::memcpy(d.pci_bus_id, parent.pci_bus_id, sizeof d.pci_bus_id);
    if (d.numa_node < 0) d.numa_node = parent.numa_node;
    out->push_back(d);
  }
}

}  // namespace

NvmlReport read_nvml(const char* library) {
  NvmlReport report;
  // Never closed: unloading a driver library under a host that may use it too is asking for trouble.
  void* lib = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!lib) {
    const char* why = dlerror();
    report.problem = std::string("no NVIDIA driver: ") + (why ? why : "the management library cannot be opened");
    return report;
  }
  Nvml n = bind_all(lib);
  if (!n.init || !n.shutdown || !n.count || !n.handle) {
    report.problem = std::string(library) + " lacks the basic functions";
    return report;
  }
  if (int rc = n.init(); rc != 0) {
    const char* text = n.error ? n.error(rc) : nullptr;
    report.problem = "the NVIDIA management library does not start: " + std::string(text ? text : "") + " (" +
                     std::to_string(rc) + ")";
    return report;
  }
  int driver = 0;
  if (n.cuda_driver && n.cuda_driver(&driver) == 0 && driver > 0) report.cuda_driver = uint32_t(driver);
  unsigned count = 0;
  if (n.count(&count) != 0) count = 0;
  for (unsigned i = 0; i < count && i < 1024; i++) {
    Handle gpu;
    if (n.handle(i, &gpu) != 0) continue;
    gyr_device_info d = describe(n, gpu, GYR_DEVICE_GPU);
    if (!d.selector[0]) std::snprintf(d.selector, sizeof d.selector, "cuda:%u", i);
    unsigned cores = 0;
    int major = 0, minor = 0;
    if (n.cores && n.capability && n.cores(gpu, &cores) == 0 && n.capability(gpu, &major, &minor) == 0)
      if (unsigned per_sm = cores_per_sm(major, minor)) d.units = cores / per_sm;
    report.devices.push_back(d);
    add_slices(n, gpu, d, &report.devices);
  }
  n.shutdown();
  if (report.devices.empty()) report.problem = "the NVIDIA driver reports no GPU";
  return report;
}

}  // namespace gyr
