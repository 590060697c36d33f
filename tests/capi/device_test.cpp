// Plugins that are absent or broken, as a host meets them: through the public interface and $GYR_BACKEND_DIR.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace {

// Asked before a test loads a pretended one.
const bool kDriver = dlopen("libnvidia-ml.so.1", RTLD_LAZY) != nullptr;

std::string fakes(const char* variant) { return std::string(GYR_FAKES) + "/" + variant; }

struct Created {
  gyr_status status;
  gyr_runtime* runtime = nullptr;
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime_info info{};

  explicit Created(const char* device) {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    o.device = device;
    status = gyr_runtime_create(&o, &runtime, &err);
    info.struct_size = sizeof info;
    if (runtime) gyr_runtime_get_info(runtime, &info, nullptr);
  }
  ~Created() { gyr_runtime_destroy(runtime); }
};

class BrokenPlugin : public ::testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  void SetUp() override {
    if (kDriver) GTEST_SKIP() << "this machine has a driver of its own";
    setenv("GYR_BACKEND_DIR", fakes(GetParam().first).c_str(), 1);
  }
  void TearDown() override { unsetenv("GYR_BACKEND_DIR"); }
};

TEST_P(BrokenPlugin, NamedDeviceFailsAndAutoFallsBackSayingWhy) {
  auto [variant, why] = GetParam();
  for (const char* selector : {"cuda:0", "cuda:mig", "cuda:GPU-fake-0"}) {
    Created named(selector);
    EXPECT_EQ(named.status, GYR_E_BACKEND_UNAVAILABLE) << selector;
    EXPECT_EQ(named.runtime, nullptr);
    EXPECT_NE(std::string(named.err.message).find(why), std::string::npos) << named.err.message;
    EXPECT_STREQ(named.err.component, "device");
  }
  Created automatic("auto");
  ASSERT_EQ(automatic.status, GYR_OK) << automatic.err.message;
  EXPECT_STREQ(automatic.info.device, "cpu");
  EXPECT_NE(std::string(automatic.info.device_reason).find(why), std::string::npos) << automatic.info.device_reason;
  Created plain(nullptr);  // who asks for nothing is not troubled
  ASSERT_EQ(plain.status, GYR_OK);
  EXPECT_STREQ(plain.info.device_reason, "");
}

INSTANTIATE_TEST_SUITE_P(
    Ways, BrokenPlugin,
    ::testing::Values(std::pair("absent", "not installed"), std::pair("no_note", "note"), std::pair("note_abi", "9.9"),
                      std::pair("table_abi", "0.77"), std::pair("no_symbol", "gyr_backend_entry_v1"),
                      std::pair("refuses", "does not feel like it"), std::pair("incomplete", "empty"),
                      std::pair("missing_dependency", "gyr_fake_symbol"), std::pair("lost_count", "fell off the bus"),
                      std::pair("lost_info", "fell off the bus"), std::pair("lost_open", "fell off the bus")),
    [](const auto& way) { return way.param.first; });

// Every function that a named GPU's runtime is asked for works on when the GPU is lost: until there are CUDA kernels
// nothing runs on it. The day the core calls a backend's operations this test must learn what GYR_E_DEVICE_LOST does.
TEST(LostDevice, LeavesWhatRunsOnTheCpu) {
  if (kDriver) GTEST_SKIP() << "this machine has a driver of its own";
  setenv("GYR_BACKEND_DIR", fakes("lost").c_str(), 1);
  Created c("cuda:0");
  ASSERT_EQ(c.status, GYR_OK) << c.err.message;
  EXPECT_STREQ(c.info.device, "cuda:GPU-fake-0");
  gyr_index_options o{};
  o.struct_size = sizeof o;
  o.dim = 2;
  gyr_index* index = nullptr;
  ASSERT_EQ(gyr_index_create(c.runtime, &o, &index, &c.err), GYR_OK) << c.err.message;
  int64_t id = 7, found = 0;
  float vector[] = {1, 2}, score = 0;
  uint32_t count = 0;
  ASSERT_EQ(gyr_index_upsert(index, &id, vector, 1, nullptr, &c.err), GYR_OK) << c.err.message;
  gyr_search_args args{};
  args.struct_size = sizeof args;
  args.k = 1, args.n = 1, args.queries = vector;
  args.out_ids = &found, args.out_scores = &score, args.out_counts = &count;
  ASSERT_EQ(gyr_index_search(index, &args, nullptr, &c.err), GYR_OK) << c.err.message;
  EXPECT_EQ(found, 7);
  EXPECT_EQ(score, 5);
  gyr_index_destroy(index);
  unsetenv("GYR_BACKEND_DIR");
}

// With GPUs in the machine the list says of each why it is not usable.
TEST(DeviceList, NamesThePluginsFault) {
  if (kDriver) GTEST_SKIP() << "this machine has a driver of its own";
  // The library asks for the name; the loader gives it what is already there under that name.
  ASSERT_TRUE(dlopen((fakes("nvml_full") + "/libnvidia-ml.so.1").c_str(), RTLD_NOW | RTLD_GLOBAL)) << dlerror();
  struct Case {
    const char *variant, *why;
  };
  for (auto& c : {Case{"absent", "not installed"}, Case{"no_note", "note"}, Case{"note_abi", "9.9"},
                  Case{"old_driver", "99.1"}, Case{"good", ""}}) {
    setenv("GYR_BACKEND_DIR", fakes(c.variant).c_str(), 1);
    std::vector<gyr_device_info> devices(8);
    devices[0].struct_size = sizeof devices[0];
    uint64_t n = 0;
    gyr_error err = GYR_ERROR_INIT;
    ASSERT_EQ(gyr_device_list(devices.data(), devices.size(), &n, &err), GYR_OK) << err.message;
    ASSERT_EQ(n, 5u);
    EXPECT_STREQ(devices[0].selector, "cpu");
    EXPECT_EQ(devices[0].usable, 1u);
    EXPECT_STREQ(devices[1].selector, "cuda:GPU-aaaa");
    EXPECT_EQ(devices[1].usable, c.why[0] == 0 ? 1u : 0u) << c.variant;
    EXPECT_NE(std::string(devices[1].reason).find(c.why), std::string::npos) << devices[1].reason;
    if (c.why[0] == 0) continue;
    Created named("cuda:0");
    EXPECT_EQ(named.status, GYR_E_BACKEND_UNAVAILABLE) << c.variant;
    EXPECT_NE(std::string(named.err.message).find(c.why), std::string::npos) << named.err.message;
  }
  unsetenv("GYR_BACKEND_DIR");
}

}  // namespace
