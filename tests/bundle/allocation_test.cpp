// A warmed-up call with a workspace allocates nothing. Counts every operator new of the process and malloc besides.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/bundle/world.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" void* __libc_malloc(size_t);
extern "C" void* malloc(size_t size) {  // operator new ends here, too
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}

namespace gyr::test {
namespace {

TEST(Allocation, WarmCallAllocatesNothing) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  gyr_workspace* w = nullptr;
  ASSERT_EQ(gyr_workspace_create(s.bundle, &w, &err), GYR_OK) << err.message;
  gyr_stage_trace trace[16] = {};
  trace[0].struct_size = sizeof trace[0];
  auto prepare = [&](Answer& a) {
    a.args.workspace = w;
    a.args.trace = trace;
    a.args.trace_capacity = 16;
  };
  std::vector<std::unique_ptr<Answer>> answers;
  for (int u = 0; u < kUsers; u++) prepare(*answers.emplace_back(std::make_unique<Answer>(std::vector{user_id(u)})));
  Answer many({user_id(1), user_id(2), user_id(3)});
  prepare(many);
  auto round = [&] {
    gyr_status worst = GYR_OK;
    for (auto& a : answers) worst |= gyr_bundle_recommend(s.bundle, &a->args, nullptr, &err);
    worst |= gyr_bundle_recommend(s.bundle, &many.args, nullptr, &err);
    return worst;
  };
  ASSERT_EQ(round(), GYR_OK) << err.message;
  int64_t before = allocations;
  EXPECT_NE(std::malloc(1), nullptr);
  ASSERT_EQ(allocations, before + 1) << "the counter does not see malloc";
  before = allocations;
  ASSERT_EQ(round(), GYR_OK) << err.message;
  EXPECT_EQ(allocations - before, 0);
  gyr_workspace_destroy(w);
}

TEST(Allocation, WarmCallFromThePoolAllocatesNothing) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer a({user_id(1)});
  for (int i = 0; i < 3; i++) ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  int64_t before = allocations;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(allocations - before, 0);
}

}  // namespace
}  // namespace gyr::test
#endif
