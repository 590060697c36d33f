#include <gtest/gtest.h>
#include <gyr/gyr.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/asleep.h"
#include "tests/support/knobs.h"

namespace {

TEST(RuntimeApi, CreateInfoDestroy) {
  GYR_SKIP_UNDER("GYR_TEST_THREADS");
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* rt = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &rt, &err), GYR_OK) << err.message;
  gyr_runtime_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_runtime_get_info(rt, &info, &err), GYR_OK);
  EXPECT_GE(info.threads, 1u);
  EXPECT_LE(info.threads, info.cpus_affinity);
  EXPECT_STREQ(info.device, "cpu");
  EXPECT_EQ(info.memory_used, 0u);
  gyr_runtime_destroy(rt);
  gyr_runtime_destroy(nullptr);
}

TEST(RuntimeApi, OptionsOfOtherVersions) {
  GYR_SKIP_UNDER("GYR_TEST_THREADS");
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* rt = nullptr;
  struct {
    gyr_runtime_options known;
    uint64_t tail;
  } newer{};
  newer.known.struct_size = sizeof newer;
  newer.known.threads = 1;
  ASSERT_EQ(gyr_runtime_create(&newer.known, &rt, &err), GYR_OK) << err.message;
  gyr_runtime_destroy(rt);
  rt = nullptr;
  newer.tail = 1;
  EXPECT_EQ(gyr_runtime_create(&newer.known, &rt, &err), GYR_E_OPTIONS_TOO_NEW);
  EXPECT_EQ(rt, nullptr);
  newer.known.struct_size = 8;  // an older caller: threads only
  ASSERT_EQ(gyr_runtime_create(&newer.known, &rt, &err), GYR_OK);
  gyr_runtime_info info{};
  info.struct_size = 8;
  info.memory_budget = 12345;
  ASSERT_EQ(gyr_runtime_get_info(rt, &info, &err), GYR_OK);
  EXPECT_EQ(info.threads, 1u);
  EXPECT_EQ(info.memory_budget, 12345u);  // beyond the caller's struct: untouched
  gyr_runtime_destroy(rt);
  for (uint32_t size : {0u, 4u, 70000u}) {
    newer.known.struct_size = size;
    EXPECT_EQ(gyr_runtime_create(&newer.known, &rt, &err), GYR_E_INVALID_ARGUMENT) << size;
  }
}

TEST(RuntimeApi, WrongArguments) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* rt = nullptr;
  EXPECT_EQ(gyr_runtime_create(nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_runtime_create(nullptr, nullptr, nullptr), GYR_E_INVALID_ARGUMENT);
  gyr_runtime_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(gyr_runtime_get_info(nullptr, &info, &err), GYR_E_INVALID_HANDLE);
  alignas(16) char junk[256] = {};
  EXPECT_EQ(gyr_runtime_get_info(reinterpret_cast<gyr_runtime*>(junk), &info, &err), GYR_E_INVALID_HANDLE);
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  for (auto device : {"gpu", "cuda:", ""}) {
    o.device = device;
    EXPECT_EQ(gyr_runtime_create(&o, &rt, &err), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(err.message).find("cuda:mig"), std::string::npos) << err.message;
  }
  o.device = "cuda:GPU-00000000-no-such-device";
  EXPECT_EQ(gyr_runtime_create(&o, &rt, &err), GYR_E_BACKEND_UNAVAILABLE);
  EXPECT_STRNE(err.message, "");
  EXPECT_EQ(rt, nullptr);
  o.device = "auto";
  ASSERT_EQ(gyr_runtime_create(&o, &rt, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_runtime_get_info(rt, &info, &err), GYR_OK);
  if (std::string(info.device) == "cpu") {
    EXPECT_STRNE(info.device_reason, "");
  }
  gyr_runtime_destroy(rt);
}

struct Hooks {
  int allocator_freed = 0, logger_freed = 0, executor_freed = 0;
};

TEST(RuntimeApi, FinalizersRunOnceAndOnlyAfterSuccess) {
  Hooks hooks;
  gyr_allocator allocator{};
  allocator.struct_size = sizeof allocator;
  allocator.alloc = [](uintptr_t, uint64_t size, uint64_t align) -> void* {
    return std::aligned_alloc(align, (size + align - 1) / align * align);
  };
  allocator.free = [](uintptr_t, void* p, uint64_t, uint64_t) { std::free(p); };
  allocator.user_free = [](uintptr_t user) { reinterpret_cast<Hooks*>(user)->allocator_freed++; };
  gyr_logger logger{};
  logger.struct_size = sizeof logger;
  logger.fn = [](const gyr_log_record*, uintptr_t) {};
  logger.user_free = [](uintptr_t user) { reinterpret_cast<Hooks*>(user)->logger_freed++; };
  gyr_executor executor{};
  executor.struct_size = sizeof executor;
  executor.parallel_for = [](uintptr_t, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
    for (uint64_t i = 0; i < n; i++) body(ctx, i);
  };
  executor.user_free = [](uintptr_t user) { reinterpret_cast<Hooks*>(user)->executor_freed++; };
  allocator.user = logger.user = executor.user = uintptr_t(&hooks);

  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.allocator = &allocator;
  o.logger = &logger;
  o.executor = &executor;
  o.device = "cuda:GPU-none";
  gyr_runtime* rt = nullptr;
  EXPECT_EQ(gyr_runtime_create(&o, &rt, nullptr), GYR_E_BACKEND_UNAVAILABLE);
  EXPECT_EQ(hooks.allocator_freed + hooks.logger_freed + hooks.executor_freed, 0);
  o.device = nullptr;
  ASSERT_EQ(gyr_runtime_create(&o, &rt, nullptr), GYR_OK);
  gyr_runtime_destroy(rt);
  EXPECT_EQ(hooks.allocator_freed, 1);
  EXPECT_EQ(hooks.logger_freed, 1);
  EXPECT_EQ(hooks.executor_freed, 1);
}

TEST(RuntimeApi, ForkedChildIsTold) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 3;
  gyr_runtime* rt = nullptr;
  ASSERT_EQ(gyr_runtime_create(&o, &rt, nullptr), GYR_OK);
  gyr::test::wait_until_others_sleep();
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    gyr_runtime_info info{};
    info.struct_size = sizeof info;
    if (gyr_runtime_get_info(rt, &info, nullptr) != GYR_E_FORKED) _exit(1);
    gyr_runtime_destroy(rt);
    gyr_runtime* own = nullptr;  // a new one works in the child
    if (gyr_runtime_create(&o, &own, nullptr) != GYR_OK) _exit(2);
    if (gyr_runtime_get_info(own, &info, nullptr) != GYR_OK) _exit(3);
    gyr_runtime_destroy(own);
    _exit(0);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  gyr_runtime_destroy(rt);
}

TEST(TaskApi, LifeOfATask) {
  gyr_task* task = nullptr;
  ASSERT_EQ(gyr_task_create(&task, nullptr), GYR_OK);
  gyr_task_progress p{};
  p.struct_size = sizeof p;
  p.done = 77;
  gyr_task_get_progress(task, &p);
  EXPECT_EQ(p.done, 0u);
  EXPECT_EQ(p.total, 0u);
  EXPECT_TRUE(std::isnan(p.loss));
  EXPECT_STREQ(p.phase, "");
  gyr_task_set_timeout(task, 1000);
  gyr_task_set_timeout(task, INT64_MAX);
  gyr_task_set_timeout(task, -1);
  gyr_task_cancel(task);
  gyr_task_destroy(task);
  gyr_task_destroy(nullptr);
  gyr_task_cancel(nullptr);
  gyr_task_set_timeout(nullptr, 1);
  gyr_task_get_progress(nullptr, &p);
  EXPECT_EQ(gyr_task_create(nullptr, nullptr), GYR_E_INVALID_ARGUMENT);
}

TEST(DeviceApi, List) {
  gyr_error err = GYR_ERROR_INIT;
  uint64_t count = 0;
  ASSERT_EQ(gyr_device_list(nullptr, 0, &count, &err), GYR_OK) << err.message;
  ASSERT_GE(count, 1u);
  std::vector<gyr_device_info> devices(count + 1);
  devices[0].struct_size = sizeof devices[0];
  ASSERT_EQ(gyr_device_list(devices.data(), devices.size(), &count, &err), GYR_OK);
  EXPECT_EQ(devices[0].kind, GYR_DEVICE_CPU);
  EXPECT_STREQ(devices[0].selector, "cpu");
  EXPECT_EQ(devices[0].usable, 1u);
  EXPECT_EQ(devices[count].struct_size, 0u);  // beyond the count: untouched
  for (uint64_t i = 1; i < count; i++) {
    EXPECT_STRNE(devices[i].selector, "");
    EXPECT_EQ(devices[i].usable == 0, devices[i].reason[0] != 0);
  }
  EXPECT_EQ(gyr_device_list(nullptr, 0, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  devices[0].struct_size = 0;
  EXPECT_EQ(gyr_device_list(devices.data(), 1, &count, &err), GYR_E_INVALID_ARGUMENT);
}

TEST(BaseApi, BuildInfoIsJson) {
  std::string info = gyr_build_info();
  EXPECT_EQ(info.front(), '{');
  EXPECT_EQ(info.back(), '}');
  for (auto key : {"\"version\": \"0.1.0\"", "\"compiler\": \"", "\"simd\": \"", "\"simd_available\": [\"ref\"",
                   "\"file_format\": \"1.0\"", "\"backend_abi\": \""})
    EXPECT_NE(info.find(key), std::string::npos) << info;
  EXPECT_EQ(gyr_build_info(), gyr_build_info());
}

}  // namespace
