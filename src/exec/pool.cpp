#include "exec/pool.h"

#include <algorithm>
#include <memory>

#include "base/knobs.h"

namespace gyr {

namespace {

thread_local bool t_inside = false;

struct Inside {
  bool before = t_inside;
  Inside() { t_inside = true; }
  ~Inside() { t_inside = before; }
};

}  // namespace

bool inside_parallel() { return t_inside; }

void run_inline(uint64_t n, const std::function<void(uint64_t)>& body) {
  Inside mark;
  for (uint64_t i = 0; i < n; i++) body(i);
}

void run_one(uint64_t i, const std::function<void(uint64_t)>& body) {
  Inside mark;
  body(i);
}

Result<std::unique_ptr<Pool>> Pool::start(uint32_t threads) {
  auto pool = std::make_unique<Pool>();
  GYR_TRY(pool->threads_.start(threads - 1, "gyr", [p = pool.get()] { p->work(); }));
  return pool;
}

Pool::~Pool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  threads_.join();
}

void Pool::list(Job* job) {
  job->before = last_;
  job->after = nullptr;
  (last_ ? last_->after : first_) = job;
  last_ = job;
  job->listed = true;
}

void Pool::unlist(Job* job) {
  if (!job->listed) return;
  (job->before ? job->before->after : first_) = job->after;
  (job->after ? job->after->before : last_) = job->before;
  job->listed = false;
}

void Pool::run(Job* job) {
  Inside mark;
  try {
    for (;;) {
      if (job->failed.load(std::memory_order_relaxed)) return;
      uint64_t begin = job->next.fetch_add(job->chunk, std::memory_order_relaxed);
      if (begin >= job->n) return;
      uint64_t end = begin + std::min(job->chunk, job->n - begin);
      for (uint64_t i = begin; i < end; i++) (*job->body)(i);
    }
  } catch (...) {
    // Only bad_alloc should come here; it must reach the caller, not std::terminate.
    std::lock_guard lock(mutex_);
    if (!job->error) job->error = std::current_exception();
    job->failed = true;
  }
}

void Pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || first_; });
    if (stop_) return;
    Job* job = first_;
    // To the back: several callers share the pool in turn.
    unlist(job);
    list(job);
    job->helpers++;
    lock.unlock();
    run(job);
    lock.lock();
    unlist(job);  // it has run out of items
    if (--job->helpers == 0) done_.notify_all();
  }
}

void Pool::parallel_for(uint64_t n, const std::function<void(uint64_t)>& body) {
  if (n <= 1 || threads_.size() == 0 || t_inside) return run_inline(n, body);
  Job job;
  job.body = &body;
  job.n = n;
  // Small enough to even out unequal items, large enough that the shared counter does not show.
  job.chunk = knobs::capacity(std::clamp<uint64_t>(n / (uint64_t(concurrency()) * 16), 1, 1 << 16));
  {
    std::lock_guard lock(mutex_);
    list(&job);
  }
  uint64_t helpers = std::min<uint64_t>(n - 1, threads_.size());
  if (helpers == threads_.size())
    wake_.notify_all();
  else
    for (uint64_t i = 0; i < helpers; i++) wake_.notify_one();
  run(&job);
  std::unique_lock lock(mutex_);
  unlist(&job);
  done_.wait(lock, [&] { return job.helpers == 0; });
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace gyr
