// gyr's own threads. A call's job lives on the caller's stack, so running one allocates nothing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

#include "base/error.h"
#include "exec/own_threads.h"

namespace gyr {

// True on a thread that is inside a parallel_for body of any runtime; nested calls then run inline.
bool inside_parallel();
// Run body(i) on this thread, marked as inside.
void run_inline(uint64_t n, const std::function<void(uint64_t)>& body);
void run_one(uint64_t i, const std::function<void(uint64_t)>& body);

class Pool {
 public:
  // `threads` includes the caller: threads - 1 are started, named gyr-1.., with every signal blocked.
  static Result<std::unique_ptr<Pool>> start(uint32_t threads);
  ~Pool();  // joins

  void parallel_for(uint64_t n, const std::function<void(uint64_t)>& body);
  uint32_t concurrency() const { return threads_.size() + 1; }

 private:
  struct Job {
    const std::function<void(uint64_t)>* body;
    uint64_t n, chunk;
    std::atomic<uint64_t> next{0};
    std::atomic<bool> failed{false};
    // Below: under mutex_.
    std::exception_ptr error;
    uint32_t helpers = 0;
    bool listed = false;
    Job *before = nullptr, *after = nullptr;
  };

  void work();
  void run(Job* job);
  void list(Job* job);
  void unlist(Job* job);

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job *first_ = nullptr, *last_ = nullptr;
  bool stop_ = false;
  OwnThreads threads_;
};

}  // namespace gyr
