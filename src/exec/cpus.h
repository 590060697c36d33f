// How many CPUs this process may use, and what they look like.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gyr {

std::vector<uint32_t> affinity_cpus();  // numbers of the CPUs in the affinity mask, ascending, at least one
// cgroup (v1 or v2) CPU quota rounded up, the tightest on the way to the root; 0 = none. `root` is "" or a test's tree.
uint32_t quota_cpus(const std::string& root = "");

struct Topology {
  uint32_t numa_nodes = 1, cores = 1;
  uint64_t l2_bytes = 0, l3_bytes = 0;  // per core; of the first package
};
// Of the given CPUs, from /sys below `root`; what cannot be read keeps its default, and every CPU is then a core. Not from
// hwloc, which crashes where malloc fails and writes to stderr (docs/design/002-host-safety.md).
Topology read_topology(const std::vector<uint32_t>& cpus, const std::string& root = "");

}  // namespace gyr
