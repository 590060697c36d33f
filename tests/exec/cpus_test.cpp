#include "exec/cpus.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gyr {
namespace {

namespace fs = std::filesystem;

// A /sys and /proc of our own making.
class Tree : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gyr-cpus-XXXXXX";
    root_ = mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(Tree, TopologyOfTwoSocketsWithThreads) {
  std::string cpu = "/sys/devices/system/cpu/cpu";
  for (int i = 0; i < 8; i++)  // 4 cores of 2 threads; the last two on an old kernel's name
    put(cpu + std::to_string(i) + (i < 6 ? "/topology/core_cpus_list" : "/topology/thread_siblings_list"),
        std::to_string(i & ~1) + "-" + std::to_string(i | 1) + "\n");
  const char* caches[][3] = {
      {"1", "Data", "48K"}, {"2", "Instruction", "1K"}, {"2", "Unified", "2048K"}, {"3", "Unified", "32M"}};
  for (int i = 0; i < 4; i++) {
    std::string folder = cpu + "2/cache/index" + std::to_string(i);
    put(folder + "/level", caches[i][0]), put(folder + "/type", caches[i][1]), put(folder + "/size", caches[i][2]);
  }
  put("/sys/devices/system/node/online", "0-7\n");
  put("/sys/devices/system/node/has_memory", "0,4-5\n");
  Topology all = read_topology({2, 3, 4, 5, 6, 7, 9}, root_);
  EXPECT_EQ(all.cores, 4u);  // CPU 9 tells nothing: a core of its own
  EXPECT_EQ(all.numa_nodes, 3u);
  EXPECT_EQ(all.l2_bytes, 2048u << 10);
  EXPECT_EQ(all.l3_bytes, 32u << 20);
  EXPECT_EQ(read_topology({3}, root_).cores, 1u);
  EXPECT_EQ(read_topology({3}, root_).l2_bytes, 0u);
}

TEST_F(Tree, TopologyOfNothingAndOfNonsense) {
  Topology none = read_topology({0, 1}, root_);
  EXPECT_EQ(none.cores, 2u);
  EXPECT_EQ(none.numa_nodes, 1u);
  EXPECT_EQ(none.l3_bytes, 0u);
  for (const char* text : {"", "\n", "x", "5-1", "0-99999999999999999999", "-3", ",", "0-"}) {
    put("/sys/devices/system/node/has_memory", text);
    EXPECT_EQ(read_topology({0}, root_).numa_nodes, 1u) << text;
  }
}

TEST_F(Tree, QuotaIsTheTightestOnTheWay) {
  put("/proc/self/cgroup", "0::/a/b\n");
  put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(quota_cpus(root_), 0u);
  put("/sys/fs/cgroup/a/cpu.max", "350000 100000\n");
  EXPECT_EQ(quota_cpus(root_), 4u);
  put("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota_cpus(root_), 1u);
  put("/proc/self/cgroup", "4:memory:/x\n3:cpuacct,cpu:/y\nnonsense\n");
  EXPECT_EQ(quota_cpus(root_), 0u);
  put("/sys/fs/cgroup/cpu/y/cpu.cfs_quota_us", "200000");
  put("/sys/fs/cgroup/cpu/y/cpu.cfs_period_us", "100000");
  EXPECT_EQ(quota_cpus(root_), 2u);
  put("/sys/fs/cgroup/cpu/y/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(quota_cpus(root_), 0u);
  fs::remove(root_ + "/proc/self/cgroup");
  EXPECT_EQ(quota_cpus(root_), 0u);
}

TEST(Cpus, AffinityIsNotEmptyAndAscending) {
  auto cpus = affinity_cpus();
  ASSERT_FALSE(cpus.empty());
  for (size_t i = 1; i < cpus.size(); i++) EXPECT_LT(cpus[i - 1], cpus[i]);
}

}  // namespace
}  // namespace gyr
