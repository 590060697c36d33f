#include "exec/runtime.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory_resource>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fault.h"
#include "tests/support/asleep.h"
#include "tests/support/knobs.h"

namespace gyr {
namespace {

std::shared_ptr<Runtime> make(gyr_runtime_options o = {}) {
  auto r = Runtime::create(o);
  EXPECT_TRUE(r.ok()) << r.status().message();
  return r.ok() ? *r : nullptr;
}

TEST(Runtime, ParallelForRunsEveryItemOnce) {
  GYR_SKIP_UNDER("GYR_TEST_THREADS");
  for (uint32_t threads : {1u, 2u, 5u}) {
    auto rt = make({.threads = threads});
    EXPECT_EQ(rt->concurrency(), threads);
    for (uint64_t n : {0ull, 1ull, 2ull, 7ull, 100ull, 12345ull}) {
      std::vector<std::atomic<int>> hits(n);
      rt->parallel_for(n, [&](uint64_t i) { hits[i]++; });
      for (uint64_t i = 0; i < n; i++) ASSERT_EQ(hits[i], 1) << i << " of " << n;
    }
  }
}

TEST(Runtime, SeveralCallersAndNestedCalls) {
  auto rt = make({.threads = 4});
  std::vector<std::thread> callers;
  std::atomic<uint64_t> total{0};
  for (int c = 0; c < 4; c++)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; round++)
        rt->parallel_for(20, [&](uint64_t i) {
          auto self = std::this_thread::get_id();
          rt->parallel_for(3, [&](uint64_t j) {
            EXPECT_EQ(self, std::this_thread::get_id());  // nested: inline
            total += i * 3 + j;
          });
        });
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(total, 4u * 200 * (59 * 60 / 2));
}

TEST(Runtime, UsesItsThreadsAndNamesThem) {
  GYR_SKIP_UNDER("GYR_TEST_THREADS");
  auto rt = make({.threads = 3});
  std::mutex mutex;
  std::set<std::string> names;
  std::atomic<int> arrived{0};
  sigset_t caller;
  pthread_sigmask(SIG_SETMASK, nullptr, &caller);
  EXPECT_EQ(sigismember(&caller, SIGINT), 0);  // starting threads left the caller's mask alone
  rt->parallel_for(3, [&](uint64_t) {
    arrived++;
    while (arrived < 3) std::this_thread::yield();  // only returns when three threads take part
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    std::lock_guard lock(mutex);
    if (std::strncmp(name, "gyr-", 4) == 0) {
      for (int s : {SIGINT, SIGTERM, SIGPROF, SIGCHLD, SIGUSR1}) EXPECT_EQ(sigismember(&mask, s), 1) << s;
      names.insert(name);
    }
  });
  EXPECT_EQ(names, (std::set<std::string>{"gyr-1", "gyr-2"}));
}

TEST(Runtime, ExceptionsReachTheCaller) {
  for (uint32_t threads : {1u, 4u}) {
    auto rt = make({.threads = threads});
    EXPECT_THROW(rt->parallel_for(1000,
                                  [](uint64_t i) {
                                    if (i == 500) throw std::bad_alloc();
                                  }),
                 std::bad_alloc);
    std::atomic<int> ran{0};
    rt->parallel_for(100, [&](uint64_t) { ran++; });
    EXPECT_EQ(ran, 100);
  }
}

struct HostExecutor {
  int calls = 0, freed = 0;
};

TEST(Runtime, HostExecutor) {
  HostExecutor host;
  gyr_executor executor{.struct_size = sizeof(gyr_executor), .concurrency = 3};
  executor.user = uintptr_t(&host);
  executor.parallel_for = [](uintptr_t user, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
    reinterpret_cast<HostExecutor*>(user)->calls++;
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < n; i++) threads.emplace_back([=] { body(ctx, i); });
    for (auto& t : threads) t.join();
  };
  executor.user_free = [](uintptr_t user) { reinterpret_cast<HostExecutor*>(user)->freed++; };
  auto rt = make({.executor = &executor});
  EXPECT_EQ(rt->concurrency(), 3u);
  std::atomic<int> sum{0}, nested{0};
  rt->parallel_for(8, [&](uint64_t i) {
    sum += int(i);
    rt->parallel_for(2, [&](uint64_t) { nested++; });
  });
  EXPECT_EQ(sum, 28);
  EXPECT_EQ(nested, 16);
  EXPECT_EQ(host.calls, 1);
  EXPECT_THROW(rt->parallel_for(4, [](uint64_t) { throw std::bad_alloc(); }), std::bad_alloc);
  rt.reset();
  EXPECT_EQ(host.freed, 1);

  EXPECT_EQ(Runtime::create({.threads = 2, .executor = &executor}).status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(host.freed, 1);  // a failed create takes nothing over
}

TEST(Runtime, HostExecutorsThatMiscount) {
  using Loop = void (*)(uintptr_t, uint64_t, void (*)(void*, uint64_t), void*);
  const Loop loops[] = {[](uintptr_t, uint64_t, void (*)(void*, uint64_t), void*) {},
                        [](uintptr_t, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
                          for (uint64_t i = 0; i < n; i += 2) body(ctx, i);
                        },
                        [](uintptr_t, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
                          for (uint64_t i = 0; i < 2 * n; i++) body(ctx, i / 2);
                        },
                        [](uintptr_t, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
                          for (uint64_t i = 0; i < n; i++) body(ctx, n + i);
                        }};
  for (Loop loop : loops) {
    gyr_executor executor{.struct_size = sizeof(gyr_executor), .concurrency = 3, .parallel_for = loop};
    auto rt = make({.executor = &executor});
    std::vector<int> ran(9);
    rt->parallel_for(ran.size(), [&](uint64_t i) { ran.at(i)++; });
    EXPECT_EQ(ran, std::vector<int>(9, 1)) << "each index once";
    EXPECT_THROW(rt->parallel_for(4, [](uint64_t) { throw std::bad_alloc(); }), std::bad_alloc);
  }
}

TEST(Memory, BudgetCountersAndHook) {
  struct Host {
    int64_t live = 0;
    int freed = 0;
    bool empty = false;
  } host;
  gyr_allocator allocator{.struct_size = sizeof(gyr_allocator)};
  allocator.alloc = [](uintptr_t user, uint64_t size, uint64_t align) -> void* {
    auto* h = reinterpret_cast<Host*>(user);
    if (h->empty) return nullptr;
    h->live += int64_t(size);
    return std::aligned_alloc(align, (size + align - 1) / align * align);
  };
  allocator.free = [](uintptr_t user, void* p, uint64_t size, uint64_t) {
    reinterpret_cast<Host*>(user)->live -= int64_t(size);
    std::free(p);
  };
  allocator.user = uintptr_t(&host);
  allocator.user_free = [](uintptr_t user) { reinterpret_cast<Host*>(user)->freed++; };
  auto rt = make({.threads = 1, .memory_budget = 1000, .allocator = &allocator});
  gyr_runtime_info info;
  {
    std::pmr::vector<char> v(600, rt->memory());
    EXPECT_EQ(host.live, 600);
    EXPECT_THROW(std::pmr::vector<char>(401, rt->memory()), BudgetExceeded);
    { std::pmr::vector<char> exactly(400, rt->memory()); }
    host.empty = true;
    EXPECT_THROW(std::pmr::vector<char>(10, rt->memory()), std::bad_alloc);
    rt->fill_info(&info);
    EXPECT_EQ(info.memory_used, 600u);
    EXPECT_EQ(info.memory_peak, 1000u);
    EXPECT_EQ(info.memory_budget, 1000u);
  }
  EXPECT_EQ(host.live, 0);
  rt->fill_info(&info);
  EXPECT_EQ(info.memory_used, 0u);
  rt.reset();
  EXPECT_EQ(host.freed, 1);
}

#ifdef GYR_FAULTS
TEST(Memory, FaultPoint) {
  auto rt = make({.threads = 1});
  alloc_faults.countdown = 0;
  EXPECT_THROW(std::pmr::vector<char>(10, rt->memory()), std::bad_alloc);
  EXPECT_NO_THROW(std::pmr::vector<char>(10, rt->memory()));
}
#endif

TEST(Runtime, Logger) {
  struct Seen {
    std::vector<std::string> lines;
    int freed = 0;
  } seen;
  gyr_logger logger{.struct_size = sizeof(gyr_logger)};
  logger.fn = [](const gyr_log_record* r, uintptr_t user) {
    EXPECT_EQ(r->struct_size, sizeof *r);
    EXPECT_GT(r->time_ns, 0);
    reinterpret_cast<Seen*>(user)->lines.push_back(std::to_string(r->level) + " " +
                                                   std::string(r->component.data, r->component.len) + " " +
                                                   std::string(r->message.data, r->message.len));
  };
  logger.user = uintptr_t(&seen);
  logger.user_free = [](uintptr_t user) { reinterpret_cast<Seen*>(user)->freed++; };
  auto rt = make({.threads = 1, .logger = &logger});
  rt->log(GYR_LOG_DEBUG, "test", "below the default level");
  rt->log(GYR_LOG_WARN, "test", "%d of %s", 3, "x");
  rt->log(GYR_LOG_ERROR, "test", "%s", std::string(5000, 'y').c_str());
  ASSERT_EQ(seen.lines.size(), 2u);
  EXPECT_EQ(seen.lines[0], "3 test 3 of x");
  EXPECT_EQ(seen.lines[1].size(), std::strlen("4 test ") + 1023);
  rt.reset();
  EXPECT_EQ(seen.freed, 1);
}

TEST(Runtime, BadOptions) {
  gyr_allocator allocator{.struct_size = sizeof allocator};
  gyr_logger logger{.struct_size = sizeof logger};
  gyr_executor executor{.struct_size = sizeof executor};
  for (auto& o : {gyr_runtime_options{.threads = 1u << 30}, gyr_runtime_options{.allocator = &allocator},
                  gyr_runtime_options{.logger = &logger}, gyr_runtime_options{.executor = &executor}})
    EXPECT_EQ(Runtime::create(o).status().code(), GYR_E_INVALID_ARGUMENT);
}

TEST(Runtime, InfoDescribesTheMachine) {
  GYR_SKIP_UNDER("GYR_TEST_THREADS");
  auto rt = make({.threads = 2});
  gyr_runtime_info info;
  rt->fill_info(&info);
  EXPECT_EQ(info.threads, 2u);
  EXPECT_GE(info.cpus_affinity, 1u);
  EXPECT_GE(info.numa_nodes, 1u);
  EXPECT_GE(info.cores, 1u);
  EXPECT_STREQ(info.device, "cpu");
  EXPECT_STRNE(info.simd, "");
}

// The child must see FORKED, run loops inline, and destroy the runtime without waiting for threads it does not have.
TEST(Runtime, ForkedChild) {
  static int freed = 0;
  gyr_logger logger{.struct_size = sizeof(gyr_logger)};
  logger.fn = [](const gyr_log_record*, uintptr_t) {};
  logger.user_free = [](uintptr_t) { freed++; };
  auto rt = make({.threads = 4, .logger = &logger});
  EXPECT_TRUE(rt->check_process().ok());
  std::atomic<int> count{0};
  rt->parallel_for(100, [&](uint64_t) { count++; });
  test::wait_until_others_sleep();
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    if (rt->check_process().code() != GYR_E_FORKED) _exit(2);
    int inline_count = 0;
    rt->parallel_for(50, [&](uint64_t) { inline_count++; });
    if (inline_count != 50) _exit(3);
    rt.reset();
    if (freed != 0) _exit(4);
    _exit(0);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(rt->check_process().ok());
  rt.reset();
  EXPECT_EQ(freed, 1);
}

}  // namespace
}  // namespace gyr
