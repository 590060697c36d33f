// How many CPUs this process may use, and what they look like.
#pragma once

#include <cstdint>
#include <string>

namespace gyr {

uint32_t affinity_cpus();  // CPUs in the affinity mask, at least 1
// cgroup (v1 or v2) CPU quota rounded up, the tightest on the way to the root; 0 = none. `root` is "" or a test's tree.
uint32_t quota_cpus(const std::string& root = "");

struct Topology {
  uint32_t numa_nodes = 1, cores = 1;
  uint64_t l2_bytes = 0, l3_bytes = 0;  // per core; of the first package
};
// From hwloc: reads /sys, binds nothing, prints nothing. Falls back to one node and the affinity mask.
Topology read_topology();

}  // namespace gyr
