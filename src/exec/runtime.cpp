#include "exec/runtime.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>

#include "base/clock.h"
#include "base/fp_mode.h"
#include "base/knobs.h"
#include "exec/cpus.h"
#include "exec/fork_guard.h"
#include "exec/memory.h"
#include "exec/pool.h"
#include "exec/simd.h"

namespace gyr {

namespace {

constexpr uint32_t kMaxThreads = 4096;

class RuntimeImpl final : public Runtime {
 public:
  explicit RuntimeImpl(const gyr_runtime_options& o)
      : memory_(o.memory_budget, o.allocator),
        allocator_(o.allocator ? *o.allocator : gyr_allocator{}),
        logger_(o.logger ? *o.logger : gyr_logger{}),
        executor_(o.executor ? *o.executor : gyr_executor{}) {
    if (logger_.min_level == GYR_LOG_DEFAULT) logger_.min_level = GYR_LOG_INFO;
  }

  // In a forked child the threads do not exist and their locks may be held for ever: leave everything lying.
  ~RuntimeImpl() override {
    if (!guard_.in_creator()) {
      (void)pool_.release();
      new (std::nothrow) std::shared_ptr<void>(std::move(device_));
      return;
    }
    device_.reset();  // may still use the threads, memory and log
    pool_.reset();
    if (!committed_) return;
    if (executor_.user_free) executor_.user_free(executor_.user);
    if (allocator_.user_free) allocator_.user_free(allocator_.user);
    if (logger_.user_free) logger_.user_free(logger_.user);
  }

  Status start(uint32_t threads) {
    cpus_ = affinity_cpus();
    affinity_ = uint32_t(cpus_.size());
    quota_ = quota_cpus();
    if (executor_.parallel_for) {
      concurrency_ = executor_.concurrency ? executor_.concurrency : affinity_;
      return {};
    }
    concurrency_ = knobs::threads(threads ? threads : quota_ ? std::min(affinity_, quota_) : affinity_);
    if (concurrency_ > 1) {
      GYR_ASSIGN(pool_, Pool::start(concurrency_));
    }
    return {};
  }

  void commit() { committed_ = true; }

  std::pmr::memory_resource* memory() override { return &memory_; }
  uint32_t concurrency() const override { return concurrency_; }

  void parallel_for(uint64_t n, const std::function<void(uint64_t)>& body) override {
    if (n <= 1 || concurrency_ == 1 || inside_parallel() || !guard_.in_creator()) return run_inline(n, body);
    if (pool_) return pool_->parallel_for(n, body);
    run_on_host(n, body);
  }

  void log(gyr_log_level level, const char* component, const char* format, ...) override
      __attribute__((format(printf, 4, 5))) {
    if (!logger_.fn || level < logger_.min_level || logger_.min_level >= GYR_LOG_OFF) return;
    char text[1024];
    va_list args;
    va_start(args, format);
    int size = std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0) return;
    gyr_log_record record{};
    record.struct_size = sizeof record;
    record.level = level;
    record.time_ns = clock_ns(CLOCK_REALTIME);
    record.component = {component, std::strlen(component)};
    record.message = {text, std::min<uint64_t>(uint64_t(size), sizeof text - 1)};
    logger_.fn(&record, logger_.user);
  }

  void set_device(std::string name, std::string reason, std::shared_ptr<void> device) override {
    device_name_ = std::move(name);
    device_reason_ = std::move(reason);
    device_ = std::move(device);
  }
  void* device() const override { return device_.get(); }

  void fill_info(gyr_runtime_info* info) const override {
    std::call_once(topology_once_, [&] { topology_ = read_topology(cpus_); });
    *info = {};
    info->struct_size = sizeof *info;
    info->threads = concurrency_;
    info->memory_budget = memory_.budget();
    info->memory_used = memory_.used();
    info->memory_peak = memory_.peak();
    info->cpus_affinity = affinity_;
    info->cpus_quota = quota_;
    info->numa_nodes = topology_.numa_nodes;
    info->cores = topology_.cores;
    info->l2_bytes = topology_.l2_bytes;
    info->l3_bytes = topology_.l3_bytes;
    std::snprintf(info->simd, sizeof info->simd, "%s", simd_level());
    std::snprintf(info->device, sizeof info->device, "%s", device_name_.c_str());
    std::snprintf(info->device_reason, sizeof info->device_reason, "%s", device_reason_.c_str());
  }

  Status check_process() const override {
    if (guard_.in_creator()) return {};
    return fail(GYR_E_FORKED, "runtime",
                "the runtime was created before fork(); create a new one in the child process");
  }

 private:
  struct HostCall {
    const std::function<void(uint64_t)>* body;
    uint64_t n;
    std::atomic<uint64_t> next{0};
    std::mutex mutex;
    std::exception_ptr error;
    std::atomic<bool> failed{false};
  };

  // Nothing may be thrown through the host's frames. Which index runs is ours to say: a host that repeats or invents
  // some has none run twice.
  static void host_body(void* ctx, uint64_t) noexcept {
    FpMode mode;
    auto* call = static_cast<HostCall*>(ctx);
    if (call->failed.load(std::memory_order_relaxed)) return;
    uint64_t i = call->next.fetch_add(1, std::memory_order_relaxed);
    if (i >= call->n) return;
    try {
      run_one(i, *call->body);
    } catch (...) {
      std::lock_guard lock(call->mutex);
      if (!call->error) call->error = std::current_exception();
      call->failed = true;
    }
  }

  void run_on_host(uint64_t n, const std::function<void(uint64_t)>& body) {
    HostCall call;
    call.body = &body;
    call.n = n;
    executor_.parallel_for(executor_.user, n, host_body, &call);
    while (!call.failed && call.next < n) host_body(&call, 0);  // what the host left out
    if (call.error) std::rethrow_exception(call.error);
  }

  Memory memory_;
  const gyr_allocator allocator_;
  gyr_logger logger_;
  const gyr_executor executor_;
  ForkGuard guard_;
  std::unique_ptr<Pool> pool_;
  uint32_t concurrency_ = 1, affinity_ = 1, quota_ = 0;
  bool committed_ = false;
  std::vector<uint32_t> cpus_;
  std::string device_name_ = "cpu", device_reason_;
  std::shared_ptr<void> device_;
  mutable std::once_flag topology_once_;
  mutable Topology topology_;
};

Status check_options(const gyr_runtime_options& o) {
  if (o.threads > kMaxThreads)
    return fail(GYR_E_INVALID_ARGUMENT, "runtime", "options.threads: expected 0..%u, got %u", kMaxThreads, o.threads);
  if (o.allocator && (!o.allocator->alloc || !o.allocator->free))
    return fail(GYR_E_INVALID_ARGUMENT, "runtime", "options.allocator: alloc and free must both be set");
  if (o.logger && !o.logger->fn) return fail(GYR_E_INVALID_ARGUMENT, "runtime", "options.logger: fn is NULL");
  if (o.logger && (o.logger->min_level < GYR_LOG_DEFAULT || o.logger->min_level > GYR_LOG_OFF))
    return fail(GYR_E_INVALID_ARGUMENT, "runtime", "options.logger: min_level %d is no GYR_LOG_ level",
                o.logger->min_level);
  if (o.executor && !o.executor->parallel_for)
    return fail(GYR_E_INVALID_ARGUMENT, "runtime", "options.executor: parallel_for is NULL");
  if (o.executor && o.threads)
    return fail(GYR_E_INVALID_ARGUMENT, "runtime", "options.threads must be 0 when options.executor is set, got %u",
                o.threads);
  return {};
}

}  // namespace

Result<std::shared_ptr<Runtime>> Runtime::create(const gyr_runtime_options& options,
                                                 const std::function<Status(Runtime&)>& before_commit) {
  GYR_TRY(check_options(options));
  auto runtime = std::make_shared<RuntimeImpl>(options);
  GYR_TRY(runtime->start(options.threads));
  if (before_commit) GYR_TRY(before_commit(*runtime));
  runtime->commit();
  return std::shared_ptr<Runtime>(std::move(runtime));
}

}  // namespace gyr
