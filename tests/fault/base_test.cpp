// gyr/base.h, gyr/device.h, gyr/runtime.h and gyr/metrics.h with every allocation failing once.
#include <signal.h>

#include <cmath>
#include <cstring>

#include "tests/fault/world.h"

namespace gyr::test {
namespace {

FAULT_SCENARIO(gyr_status_name) {
  const char* name = nullptr;
  f.run([&] { name = gyr_status_name(GYR_E_OUT_OF_MEMORY); });
  EXPECT_STREQ(name, "GYR_E_OUT_OF_MEMORY");
}

FAULT_SCENARIO(gyr_version) {
  uint32_t version = 0;
  f.run([&] { version = gyr_version(); });
  EXPECT_EQ(version, GYR_VERSION_MAJOR * 10000u + GYR_VERSION_MINOR * 100u + GYR_VERSION_PATCH);
}

FAULT_SCENARIO(gyr_build_info) {
  const char* info = nullptr;
  f.run([&] { info = gyr_build_info(); });
  EXPECT_NE(std::strstr(info, "\"version\""), nullptr) << info;
}

FAULT_SCENARIO(gyr_struct_size) {
  uint64_t size = 0;
  f.run([&] { size = gyr_struct_size("gyr_error"); });
  EXPECT_EQ(size, sizeof(gyr_error));
}

FAULT_SCENARIO(gyr_hash64) {
  uint64_t hash = 0;
  f.run([&] { hash = gyr_hash64("abc", 3); });
  EXPECT_EQ(hash, 0x78af5f94892f3950u);
}

FAULT_SCENARIO(gyr_device_list) {
  gyr_device_info devices[4] = {};
  devices[0].struct_size = sizeof devices[0];
  uint64_t count = 0;
  f.call([&](gyr_error* err) { return gyr_device_list(devices, 4, &count, err); }, &count);
  EXPECT_GE(count, 1u);
  EXPECT_STREQ(devices[0].selector, "cpu");
}

int freed_hooks = 0;

FAULT_SCENARIO(gyr_runtime_create) {
  gyr_allocator allocator = failing_allocator();
  allocator.user_free = [](uintptr_t) { freed_hooks++; };
  gyr_runtime_options o = {};
  o.struct_size = sizeof o;
  o.threads = f.threads();
  o.device = "auto";
  o.allocator = &allocator;
  freed_hooks = 0;
  f.allow(GYR_E_RESOURCE_EXHAUSTED);  // a thread could not be started
  {
    RuntimeHandle runtime;
    sigset_t before, after;
    std::memset(&before, 0, sizeof before);  // the kernel fills a part
    std::memset(&after, 0, sizeof after);
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    f.call([&](gyr_error* err) { return gyr_runtime_create(&o, runtime.out(), err); }, runtime.out());
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0) << "the caller's signal mask was changed";
    EXPECT_EQ(freed_hooks, 0);  // a failed call leaves the hooks with the caller
    gyr_runtime_info info = {};
    info.struct_size = sizeof info;
    GYR_SETUP(gyr_runtime_get_info(runtime, &info, err));
    EXPECT_EQ(info.threads, f.threads());
    EXPECT_STREQ(info.device, "cpu");
  }
  EXPECT_EQ(freed_hooks, 1);
}

FAULT_SCENARIO(gyr_runtime_destroy) {
  gyr_runtime_options o = {};
  o.struct_size = sizeof o;
  o.threads = f.threads();
  RuntimeHandle runtime;
  GYR_SETUP(gyr_runtime_create(&o, runtime.out(), err));
  f.run([&] { gyr_runtime_destroy(runtime.release()); });
}

FAULT_SCENARIO(gyr_runtime_get_info) {
  gyr_runtime_options o = {};
  o.struct_size = sizeof o;
  o.threads = f.threads();
  RuntimeHandle runtime;
  GYR_SETUP(gyr_runtime_create(&o, runtime.out(), err));
  gyr_runtime_info info = {};
  info.struct_size = sizeof info;
  f.call([&](gyr_error* err) { return gyr_runtime_get_info(runtime, &info, err); }, &info);
  EXPECT_EQ(info.threads, f.threads());
  EXPECT_GE(info.cores, 1u);
}

FAULT_SCENARIO(gyr_task_create) {
  TaskHandle task;
  f.call([&](gyr_error* err) { return gyr_task_create(task.out(), err); }, task.out());
  EXPECT_NE(task, nullptr);
}

FAULT_SCENARIO(gyr_task_cancel) {
  TaskHandle task;
  GYR_SETUP(gyr_task_create(task.out(), err));
  f.run([&] { gyr_task_cancel(task); });
}

FAULT_SCENARIO(gyr_task_set_timeout) {
  TaskHandle task;
  GYR_SETUP(gyr_task_create(task.out(), err));
  f.run([&] { gyr_task_set_timeout(task, 1); });
}

FAULT_SCENARIO(gyr_task_get_progress) {
  TaskHandle task;
  GYR_SETUP(gyr_task_create(task.out(), err));
  gyr_task_progress p = {};
  p.struct_size = sizeof p;
  p.done = 7;
  f.run([&] { gyr_task_get_progress(task, &p); });
  EXPECT_EQ(p.done, 0u);
}

FAULT_SCENARIO(gyr_task_destroy) {
  TaskHandle task;
  GYR_SETUP(gyr_task_create(task.out(), err));
  f.run([&] { gyr_task_destroy(task.release()); });
}

FAULT_SCENARIO(gyr_metrics_ranking) {
  const int64_t recommended[] = {1, 2, 3, 4, 5, 6}, relevant[] = {2, 9, 4}, offsets[] = {0, 2, 3};
  gyr_ranking_args args = {};
  args.struct_size = sizeof args;
  args.k = 3;
  args.n = 2;
  args.recommended = recommended;
  args.relevant = relevant;
  args.relevant_offsets = offsets;
  gyr_ranking_metrics out = {};
  out.struct_size = sizeof out;
  f.call([&](gyr_error* err) { return gyr_metrics_ranking(&args, &out, nullptr, nullptr, err); }, &out);
  EXPECT_DOUBLE_EQ(out.recall, 0.75);
  EXPECT_DOUBLE_EQ(out.hit_rate, 1);
}

FAULT_SCENARIO(gyr_metrics_binary) {
  const float scores[] = {0.9f, 0.2f, 0.6f, 0.4f};
  const uint8_t labels[] = {1, 0, 1, 0};
  double auc = -1, loss = -1;
  f.call([&](gyr_error* err) { return gyr_metrics_binary(scores, labels, 4, &auc, &loss, err); }, &auc, &loss);
  EXPECT_DOUBLE_EQ(auc, 1);
  EXPECT_GT(loss, 0);
}

FAULT_SCENARIO(gyr_metrics_bootstrap) {
  const double values[] = {1, 2, 3, 4};
  double low = -1, high = -1;
  f.call([&](gyr_error* err) { return gyr_metrics_bootstrap(values, 4, 50, 0.9, 7, &low, &high, err); }, &low, &high);
  EXPECT_GE(low, 1);
  EXPECT_LE(high, 4);
  EXPECT_LT(low, high);
}

}  // namespace
}  // namespace gyr::test
