// What the library reads of the system: /proc and /sys when a runtime is created, plugins when a device is asked for.
#include <cstring>

#include "tests/iofault/objects.h"
#include "tests/support/file_faults.h"
#include "tests/support/knobs.h"

namespace gyr::test {
namespace {

#ifdef GYR_FAULTS

struct Made {
  gyr_status status;
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime_info info{};
};

// A runtime created, asked and destroyed again.
Made make(const char* device) {
  Made m;
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 2;
  o.device = device;
  gyr_runtime* runtime = nullptr;
  m.status = gyr_runtime_create(&o, &runtime, &m.err);
  if (m.status != GYR_OK) return m;
  m.info.struct_size = sizeof m.info;
  EXPECT_EQ(gyr_runtime_get_info(runtime, &m.info, &m.err), GYR_OK);
  gyr_runtime_destroy(runtime);
  return m;
}

constexpr Trouble kTroubles[] = {Trouble::kError, Trouble::kInterrupt, Trouble::kShort, Trouble::kEnd};

TEST(System, ARuntimeNeedsNoFileToBeReadable) {
  GYR_SKIP_UNDER("GYR_TEST_THREADS");
  ASSERT_EQ(make("cpu").status, GYR_OK);
  for (Trouble trouble : kTroubles)
    for (bool persistent : {false, true}) {
      int met = 0;
      for (;; met++) {
        ASSERT_LT(met, 4000);
        int before = open_files();
        Disturber d(trouble, met, persistent && trouble != Trouble::kInterrupt, trouble == Trouble::kInterrupt ? 3 : 1);
        Made m = make("cpu");
        EXPECT_EQ(m.status, GYR_OK) << name(trouble) << " at " << met << ": " << m.err.message;
        EXPECT_EQ(m.info.threads, 2u);
        EXPECT_GE(m.info.cpus_affinity, 1u);
        EXPECT_EQ(open_files(), before);
        if (!d.met()) break;
      }
      EXPECT_GE(met, trouble == Trouble::kError ? 1 : 0);
    }
}

TEST(System, DevicesAreListedWhateverCanBeRead) {
  uint64_t expected = 0;
  gyr_error err = GYR_ERROR_INIT;
  ASSERT_EQ(gyr_device_list(nullptr, 0, &expected, &err), GYR_OK);
  for (Trouble trouble : kTroubles)
    for (int n = 0;; n++) {
      ASSERT_LT(n, 4000);
      int before = open_files();
      Disturber d(trouble, n, false);
      uint64_t count = 0;
      gyr_device_info cpu{};
      cpu.struct_size = sizeof cpu;
      EXPECT_EQ(gyr_device_list(&cpu, 1, &count, &err), GYR_OK) << err.message;
      EXPECT_EQ(count, expected);
      EXPECT_STREQ(cpu.selector, "cpu");
      EXPECT_NE(cpu.name[0], 0);
      EXPECT_EQ(open_files(), before);
      if (!d.met()) break;
    }
}

// A plugin that is read before it is trusted: what cannot be read is not loaded, and the reason names it.
TEST(System, APluginThatCannotBeReadIsNotLoaded) {
  ASSERT_EQ(setenv("GYR_BACKEND_DIR", GYR_FAKES "/good", 1), 0);
  Made good = make("cuda:0");
  ASSERT_EQ(good.status, GYR_OK) << good.err.message;
  ASSERT_STREQ(good.info.device, "cuda:GPU-fake-0");
  constexpr const char* kFile = "libgyr-cuda.so";
  for (const char* device : {"cuda:0", "auto"})
    for (Trouble trouble : kTroubles) {
      int refused = 0;
      for (int n = 0;; n++) {
        SCOPED_TRACE(std::string(device) + ", " + name(trouble) + " at " + std::to_string(n));
        ASSERT_LT(n, 4000);
        int before = open_files();
        Disturber d(trouble, n, false);
        Made m = make(device);
        EXPECT_EQ(open_files(), before);
        if (!d.met()) break;
        bool of_plugin = d.first_path().find(kFile) != std::string::npos;
        if (harmless(trouble) || !of_plugin || d.first_path().find("/good/") == std::string::npos) {
          EXPECT_EQ(m.status, GYR_OK) << m.err.message;
          EXPECT_STREQ(m.info.device, "cuda:GPU-fake-0");
          continue;
        }
        refused++;
        const char* why = trouble == Trouble::kEnd ? "ends at byte" : "Input/output error";
        std::string reason = m.status == GYR_OK ? m.info.device_reason : m.err.message;
        EXPECT_EQ(m.status, std::strcmp(device, "auto") == 0 ? GYR_OK : GYR_E_BACKEND_UNAVAILABLE);
        if (m.status == GYR_OK) {
          EXPECT_STREQ(m.info.device, "cpu");
        }
        EXPECT_NE(reason.find(kFile), std::string::npos) << reason;
        EXPECT_NE(reason.find(why), std::string::npos) << reason;
      }
      if (trouble == Trouble::kError) {
        EXPECT_GE(refused, 4);
      }
      if (trouble == Trouble::kEnd) {
        EXPECT_GE(refused, 2);
      }
    }
  unsetenv("GYR_BACKEND_DIR");
}

#endif

TEST(System, AnAbsentPluginIsNotInstalledWhateverItsFolderIsCalled) {
  ASSERT_EQ(setenv("GYR_BACKEND_DIR", "/nowhere/notebooks", 1), 0);
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.device = "cuda:0";
  gyr_runtime* runtime = nullptr;
  gyr_error err = GYR_ERROR_INIT;
  EXPECT_EQ(gyr_runtime_create(&o, &runtime, &err), GYR_E_BACKEND_UNAVAILABLE);
  EXPECT_NE(std::string(err.message).find("not installed"), std::string::npos) << err.message;
  unsetenv("GYR_BACKEND_DIR");
}

}  // namespace
}  // namespace gyr::test
