// Runtimes with the host's hooks, tasks steered from other threads, and calls without any handle.
#include <cmath>
#include <cstring>
#include <memory>

#include "tests/stress/rows.h"

namespace gyr::stress {
namespace {

// The host's side of one runtime: what it was asked for and whether all of it came back.
struct Hooks {
  std::atomic<int64_t> bytes{0};
  std::atomic<int> frees{0}, logs{0}, calls{0};

  gyr_allocator allocator() {
    gyr_allocator a{};
    a.struct_size = sizeof a;
    a.alloc = [](uintptr_t user, uint64_t size, uint64_t align) {
      reinterpret_cast<Hooks*>(user)->bytes += int64_t(size);
      return ::operator new(size, std::align_val_t(align), std::nothrow);
    };
    a.free = [](uintptr_t user, void* p, uint64_t size, uint64_t align) {
      reinterpret_cast<Hooks*>(user)->bytes -= int64_t(size);
      ::operator delete(p, std::align_val_t(align));
    };
    a.user = reinterpret_cast<uintptr_t>(this);
    a.user_free = [](uintptr_t user) { reinterpret_cast<Hooks*>(user)->frees++; };
    return a;
  }
  gyr_logger logger() {
    gyr_logger l{};
    l.struct_size = sizeof l;
    l.min_level = GYR_LOG_DEBUG;
    l.fn = [](const gyr_log_record* r, uintptr_t user) {
      MUST(r->message.len == std::strlen(r->message.data));
      reinterpret_cast<Hooks*>(user)->logs++;
    };
    l.user = reinterpret_cast<uintptr_t>(this);
    l.user_free = [](uintptr_t user) { reinterpret_cast<Hooks*>(user)->frees++; };
    return l;
  }
  gyr_executor executor() {  // a thread per call beside the caller's
    gyr_executor e{};
    e.struct_size = sizeof e;
    e.concurrency = 2;
    e.parallel_for = [](uintptr_t user, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
      reinterpret_cast<Hooks*>(user)->calls++;
      std::atomic<uint64_t> next{0};
      auto work = [&] {
        for (uint64_t i; (i = next++) < n;) body(ctx, i);
      };
      std::thread helper(work);
      work();
      helper.join();
    };
    e.user = reinterpret_cast<uintptr_t>(this);
    e.user_free = [](uintptr_t user) { reinterpret_cast<Hooks*>(user)->frees++; };
    return e;
  }
};

gyr_runtime* hooked_runtime(Hooks* hooks, bool own_executor, uint32_t threads) {
  gyr_allocator allocator = hooks->allocator();
  gyr_logger logger = hooks->logger();
  gyr_executor executor = hooks->executor();
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.allocator = &allocator;
  o.logger = &logger;
  o.executor = own_executor ? &executor : nullptr;
  o.threads = own_executor ? 0 : threads;
  o.device = "auto";
  gyr_runtime* runtime = nullptr;
  Error err;
  MUST_OK(err, CALL(gyr_runtime_create)(&o, &runtime, &err));
  return runtime;
}

gyr_index* filled_index(gyr_runtime* runtime, Worker& w, uint64_t n, gyr_task* task = nullptr) {
  gyr_index_options o{};
  o.struct_size = sizeof o;
  o.dim = 4;
  o.build_effort = 16;
  gyr_index* index = nullptr;
  Error err;
  MUST_OK(err, gyr_index_create(runtime, &o, &index, &err));
  std::vector<int64_t> ids(n);
  std::vector<float> vectors(n * 4);
  for (uint64_t i = 0; i < n; i++) ids[i] = int64_t(i);
  for (float& x : vectors) x = float(w.below(1000)) / 1000;
  gyr_status s = gyr_index_upsert(index, ids.data(), vectors.data(), n, task, &err);
  MUST(s == GYR_OK || (task && (s == GYR_E_CANCELLED || s == GYR_E_DEADLINE))) << err.message;
  return index;
}

// 64 queries, so that the pool or the host's executor is used.
void search_all(gyr_index* index, Worker& w) {
  std::vector<float> queries(64 * 4), scores(64);
  for (float& x : queries) x = float(w.below(1000)) / 1000;
  std::vector<int64_t> ids(64);
  std::vector<uint32_t> counts(64);
  gyr_search_args args{};
  args.struct_size = sizeof args;
  args.k = 1, args.n = 64, args.queries = queries.data();
  args.out_ids = ids.data(), args.out_scores = scores.data(), args.out_counts = counts.data();
  Error err;
  MUST_OK(err, gyr_index_search(index, &args, nullptr, &err));
  for (size_t q = 0; q < 64; q++) {  // the first result beats nothing twice: its score is a real one
    MUST(counts[q] == 1 && std::isfinite(scores[q])) << counts[q];
  }
}

TEST(RuntimeStress, ManyRuntimesWithHostHooks) {
  Hooks shared_hooks;
  Hammer hammer;
  gyr_runtime* shared = hooked_runtime(&shared_hooks, true, 0);
  Worker setup{0, std::mt19937_64(1)};
  gyr_index* index = filled_index(shared, setup, 100);
  hammer.operation(2, [&](Worker& w) {  // its own runtime; destroyed before or after its child
    Hooks hooks;
    bool executor = w.one_in(2);
    gyr_runtime* runtime = hooked_runtime(&hooks, executor, 1 + uint32_t(w.below(3)));
    gyr_index* own = filled_index(runtime, w, 64);
    search_all(own, w);
    MUST(hooks.bytes > 0);
    bool first = w.one_in(2);
    if (first) CALL(gyr_runtime_destroy)(runtime);
    search_all(own, w);
    gyr_index_destroy(own);
    if (!first) {
      MUST(hooks.frees == 0) << hooks.frees;
      CALL(gyr_runtime_destroy)(runtime);
    }
    MUST(hooks.bytes == 0) << hooks.bytes << " bytes were not given back";
    MUST(hooks.frees == (executor ? 3 : 2)) << hooks.frees;
    MUST(!executor || hooks.calls > 0);
  });
  hammer.operation(8, [&](Worker& w) { search_all(index, w); });  // the host's executor from several threads at once
  hammer.operation(4, [&](Worker&) {
    gyr_runtime_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, CALL(gyr_runtime_get_info)(shared, &info, &err));
    MUST(info.threads == 2 && info.memory_used > 0 && info.memory_used <= info.memory_peak);
  });
  hammer.operation(2, [&](Worker& w) { gyr_index_destroy(filled_index(shared, w, 32)); });
  hammer.operation(1, [&](Worker&) {
    Error err;
    gyr_runtime* none = nullptr;
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.device = "cuda:GPU-no-such-device";
    MUST(gyr_runtime_create(&o, &none, &err) == GYR_E_BACKEND_UNAVAILABLE && !none) << err.message;
    std::vector<gyr_device_info> devices(16);
    devices[0].struct_size = sizeof devices[0];
    uint64_t count = 0;
    MUST_OK(err, CALL(gyr_device_list)(devices.data(), devices.size(), &count, &err));
    MUST(count >= 1 && std::string(devices[0].selector) == "cpu");
  });
  hammer.run();
  gyr_runtime_destroy(shared);
  EXPECT_EQ(shared_hooks.frees, 0);
  gyr_index_destroy(index);
  EXPECT_EQ(shared_hooks.frees, 3);
  EXPECT_EQ(shared_hooks.bytes, 0);
  EXPECT_GT(shared_hooks.logs, 0);  // "auto" says why it took the CPU, where there is no GPU
}

TEST(RuntimeStress, TasksAreSteeredFromOtherThreads) {
  gyr_runtime* runtime = make_runtime(2);
  using Task = std::shared_ptr<gyr_task>;
  auto make_task = [] {
    gyr_task* task = nullptr;
    Error err;
    MUST_OK(err, CALL(gyr_task_create)(&task, &err));
    return Task(task, gyr_task_destroy);
  };
  std::mutex mutex;
  std::vector<Task> tasks(8);  // a place per worker, so that each is used by one call at a time
  Hammer hammer;
  tasks.resize(size_t(hammer.threads));
  for (auto& t : tasks) t = make_task();
  auto any_task = [&](Worker& w) {
    std::lock_guard lock(mutex);
    return tasks[w.below(tasks.size())];
  };
  hammer.operation(2, [&](Worker& w) {
    Task task = make_task();
    {
      std::lock_guard lock(mutex);
      tasks[size_t(w.number)] = task;
    }
    gyr_index* index = filled_index(runtime, w, 300, task.get());
    gyr_index_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, gyr_index_get_info(index, &info, &err));
    gyr_task_progress p{};
    p.struct_size = sizeof p;
    CALL(gyr_task_get_progress)(task.get(), &p);
    MUST(p.done == info.count) << p.done << " done, " << info.count << " in";  // a prefix is inserted
    gyr_index_destroy(index);
  });
  hammer.operation(12, [&](Worker& w) {
    Task task = any_task(w);
    gyr_task_progress p{};
    p.struct_size = sizeof p;
    CALL(gyr_task_get_progress)(task.get(), &p);
    MUST(p.total == 0 || (p.total == 300 && p.done <= 300)) << p.done << " of " << p.total;
    MUST(std::string(p.phase).empty() || std::string(p.phase) == "upsert") << p.phase;
  });
  hammer.operation(2, [&](Worker& w) { CALL(gyr_task_cancel)(any_task(w).get()); });
  hammer.operation(2, [&](Worker& w) { CALL(gyr_task_set_timeout)(any_task(w).get(), int64_t(w.below(3)) * 100'000); });
  hammer.run();
  gyr_runtime_destroy(runtime);
}

TEST(RuntimeStress, CallsWithoutHandles) {
  const std::string info = gyr_build_info();
  uint64_t hash = gyr_hash64("gyr", 3);
  std::vector<int64_t> recommended, relevant, offsets{0};
  for (int64_t list = 0; list < 50; list++) {
    for (int64_t i = 0; i < 5; i++) recommended.push_back(list * 10 + i);
    relevant.push_back(list * 10 + list % 7);
    offsets.push_back(int64_t(relevant.size()));
  }
  gyr_ranking_args args{};
  args.struct_size = sizeof args;
  args.k = 5, args.n = 50, args.recommended = recommended.data();
  args.relevant = relevant.data(), args.relevant_offsets = offsets.data();
  Hammer hammer;
  hammer.operation(1, [&](Worker&) {
    MUST(gyr_version() == CALL(gyr_version)());
    MUST(std::string(CALL(gyr_status_name)(GYR_E_IO)) == "GYR_E_IO");
    MUST(info == CALL(gyr_build_info)());
    MUST(CALL(gyr_struct_size)("gyr_error") == sizeof(gyr_error));
    MUST(CALL(gyr_hash64)("gyr", 3) == hash);
  });
  hammer.operation(1, [&](Worker&) {
    gyr_ranking_metrics out{};
    out.struct_size = sizeof out;
    Error err;
    MUST_OK(err, CALL(gyr_metrics_ranking)(&args, &out, nullptr, nullptr, &err));
    MUST(std::fabs(out.hit_rate - 36.0 / 50) < 1e-12) << out.hit_rate;  // list % 7 < 5
    float scores[] = {0.1f, 0.4f, 0.35f, 0.8f};
    uint8_t labels[] = {0, 0, 1, 1};
    double auc = 0, logloss = 0, low = 0, high = 0, sample[] = {1, 2, 3, 4, 5};
    MUST_OK(err, CALL(gyr_metrics_binary)(scores, labels, 4, &auc, &logloss, &err));
    MUST(auc == 0.75) << auc;
    MUST_OK(err, CALL(gyr_metrics_bootstrap)(sample, 5, 100, 0.9, 3, &low, &high, &err));
    MUST(low >= 1 && low <= 3 && high >= 3 && high <= 5);
  });
  hammer.run();
}

}  // namespace
}  // namespace gyr::stress
