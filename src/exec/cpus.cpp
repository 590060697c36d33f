#include "exec/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <set>
#include <string_view>

#include "io/file.h"

namespace gyr {

std::vector<uint32_t> affinity_cpus() {
  std::vector<uint32_t> cpus;
  std::vector<cpu_set_t> sets;
  for (size_t n = 1; n <= 1024; n *= 2) {  // of 1024 CPUs each
    sets.resize(n);
    if (sched_getaffinity(0, n * sizeof(cpu_set_t), sets.data()) == 0) {
      for (size_t i = 0; i < n * CPU_SETSIZE; i++)
        if (CPU_ISSET_S(i, n * sizeof(cpu_set_t), sets.data())) cpus.push_back(uint32_t(i));
      break;
    }
    if (errno != EINVAL) break;  // EINVAL: the kernel's mask is longer
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

namespace {

uint32_t to_cpus(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  long long cpus = (quota + period - 1) / period;
  return uint32_t(std::clamp<long long>(cpus, 1, 1 << 20));
}

// The number at the start of a text, which loses it; false where there is none ("max").
bool take_number(std::string_view* text, long long* out) {
  size_t begin = std::min(text->find_first_not_of(" \n"), text->size());
  auto [end, failed] = std::from_chars(text->data() + begin, text->data() + text->size(), *out);
  text->remove_prefix(size_t(end - text->data()));
  return failed == std::errc();
}

uint32_t v2_quota(const std::string& folder) {
  auto text = read_text(folder + "/cpu.max", 128);
  if (!text.ok()) return 0;
  std::string_view rest = *text;  // "max 100000"
  long long quota, period;
  return take_number(&rest, &quota) && take_number(&rest, &period) ? to_cpus(quota, period) : 0;
}

uint32_t v1_quota(const std::string& folder) {
  auto quota_text = read_text(folder + "/cpu.cfs_quota_us", 128);
  auto period_text = read_text(folder + "/cpu.cfs_period_us", 128);
  if (!quota_text.ok() || !period_text.ok()) return 0;
  std::string_view first = *quota_text, second = *period_text;
  long long quota, period;
  return take_number(&first, &quota) && take_number(&second, &period) ? to_cpus(quota, period) : 0;
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

namespace {

// How many numbers a list such as "0-3,8" names.
uint32_t count_of_list(const std::string& text) {
  uint64_t count = 0;
  for (const char* p = text.c_str(); *p >= '0' && *p <= '9';) {
    char* end;
    uint64_t first = std::strtoull(p, &end, 10), last = first;
    if (*end == '-') last = std::strtoull(end + 1, &end, 10);
    if (last < first || last - first > (1 << 20)) break;
    count += last - first + 1;
    if (*end != ',') break;
    p = end + 1;
  }
  return uint32_t(std::min<uint64_t>(count, 1 << 20));
}

// The lowest-numbered CPU of the core a CPU belongs to.
uint32_t first_of_core(const std::string& cpu, uint32_t otherwise) {
  for (const char* name :
       {"/topology/core_cpus_list", "/topology/thread_siblings_list"}) {  // since and before Linux 5.3
    auto text = read_text(cpu + name, 256);
    if (text.ok() && count_of_list(*text)) return uint32_t(std::strtoul(text->c_str(), nullptr, 10));
  }
  return otherwise;
}

uint64_t cache_bytes(const std::string& cpu, long level) {
  for (int i = 0; i < 8; i++) {
    std::string cache = cpu + "/cache/index" + std::to_string(i);
    auto at = read_text(cache + "/level", 16), type = read_text(cache + "/type", 32),
         size = read_text(cache + "/size", 32);
    if (!at.ok() || !type.ok() || !size.ok() || type->starts_with("Instruction")) continue;
    if (std::strtol(at->c_str(), nullptr, 10) != level) continue;
    char* unit;
    uint64_t n = std::strtoull(size->c_str(), &unit, 10);
    return n << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 0);
  }
  return 0;
}

}  // namespace

Topology read_topology(const std::vector<uint32_t>& cpus, const std::string& root) {
  Topology found;
  std::string folder = root + "/sys/devices/system";
  std::set<uint32_t> cores;
  for (uint32_t cpu : cpus) cores.insert(first_of_core(folder + "/cpu/cpu" + std::to_string(cpu), cpu));
  found.cores = uint32_t(cores.size());
  for (const char* list : {"/node/has_memory", "/node/online"}) {
    auto text = read_text(folder + list, 4096);
    uint32_t nodes = text.ok() ? count_of_list(*text) : 0;
    if (nodes) {
      found.numa_nodes = nodes;
      break;
    }
  }
  std::string first = folder + "/cpu/cpu" + std::to_string(cpus.empty() ? 0 : cpus[0]);
  found.l2_bytes = cache_bytes(first, 2);
  found.l3_bytes = cache_bytes(first, 3);
  return found;
}

}  // namespace gyr
