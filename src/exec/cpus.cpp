#include "exec/cpus.h"

#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include "io/file.h"

namespace gyr {

uint32_t affinity_cpus() {
  for (int capacity = 1024; capacity <= (1 << 20); capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(capacity);
    if (!set) break;
    size_t size = CPU_ALLOC_SIZE(capacity);
    int rc = sched_getaffinity(0, size, set);
    int code = errno;
    int count = rc == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return uint32_t(count);
    if (rc == 0 || code != EINVAL) break;  // EINVAL: the kernel's mask is longer
  }
  return 1;
}

namespace {

uint32_t to_cpus(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  long long cpus = (quota + period - 1) / period;
  return uint32_t(std::clamp<long long>(cpus, 1, 1 << 20));
}

uint32_t v2_quota(const std::string& folder) {
  auto text = read_text(folder + "/cpu.max", 128);
  long long quota, period;
  if (!text.ok() || std::sscanf(text->c_str(), "%lld %lld", &quota, &period) != 2) return 0;  // "max 100000"
  return to_cpus(quota, period);
}

uint32_t v1_quota(const std::string& folder) {
  auto quota_text = read_text(folder + "/cpu.cfs_quota_us", 128);
  auto period_text = read_text(folder + "/cpu.cfs_period_us", 128);
  long long quota, period;
  if (!quota_text.ok() || !period_text.ok() || std::sscanf(quota_text->c_str(), "%lld", &quota) != 1 ||
      std::sscanf(period_text->c_str(), "%lld", &period) != 1)
    return 0;
  return to_cpus(quota, period);
}

// The tightest limit from `path` up to the mount point. In a container the path may be the outer one and not exist
// below the mount; the mount point itself then holds the limit.
uint32_t tightest(const std::string& mount, std::string path, uint32_t (*read)(const std::string&)) {
  uint32_t best = 0;
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    if (uint32_t cpus = read(mount + path)) best = best ? std::min(best, cpus) : cpus;
    if (path.empty()) return best;
    path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

bool lists_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(comma == std::string_view::npos ? controllers.size() : comma + 1);
  }
  return false;
}

}  // namespace

uint32_t quota_cpus(const std::string& root) {
  auto text = read_text(root + "/proc/self/cgroup");
  if (!text.ok()) return 0;
  uint32_t best = 0;
  auto consider = [&](uint32_t cpus) {
    if (cpus) best = best ? std::min(best, cpus) : cpus;
  };
  // Lines "id:controllers:path"; v2 is "0::path".
  for (std::string_view left = *text; !left.empty();) {
    size_t end = left.find('\n');
    std::string_view line = left.substr(0, end);
    left.remove_prefix(end == std::string_view::npos ? left.size() : end + 1);
    size_t a = line.find(':'), b = a == std::string_view::npos ? a : line.find(':', a + 1);
    if (b == std::string_view::npos) continue;
    std::string_view controllers = line.substr(a + 1, b - a - 1);
    std::string path(line.substr(b + 1));
    if (controllers.empty()) {
      consider(tightest(root + "/sys/fs/cgroup", path, v2_quota));
    } else if (lists_cpu(controllers)) {
      consider(tightest(root + "/sys/fs/cgroup/cpu", path, v1_quota));
      consider(tightest(root + "/sys/fs/cgroup/" + std::string(controllers), path, v1_quota));
    }
  }
  return best;
}

Topology read_topology() {
  Topology found;
  found.cores = affinity_cpus();
  hwloc_topology_t t;
  if (hwloc_topology_init(&t) != 0) return found;
  // The x86 component would move this thread from CPU to CPU; the plugins would open GPU libraries.
  for (const char* component : {"x86", "cuda", "nvml", "opencl", "gl", "rsmi", "levelzero", "pci"})
    hwloc_topology_set_components(t, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
  hwloc_topology_set_flags(t, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
  if (hwloc_topology_load(t) == 0) {
    if (int n = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE); n > 0) found.numa_nodes = uint32_t(n);
    if (int n = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE); n > 0) found.cores = uint32_t(n);
    if (hwloc_obj_t l2 = hwloc_get_obj_by_type(t, HWLOC_OBJ_L2CACHE, 0)) found.l2_bytes = l2->attr->cache.size;
    if (hwloc_obj_t l3 = hwloc_get_obj_by_type(t, HWLOC_OBJ_L3CACHE, 0)) found.l3_bytes = l3->attr->cache.size;
  }
  hwloc_topology_destroy(t);
  return found;
}

}  // namespace gyr
