#include "exec/own_threads.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <system_error>

#include "base/fp_mode.h"
#include "base/thread_storage.h"

namespace gyr {
namespace {

// Threads inherit the mask: the host's signals go to the host's threads. Not those of a fault: blocked, they would end
// the process without the host's handler (crash reporters, managed runtimes). The caller's own comes back however we
// leave.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;

 private:
  sigset_t before_;
};

struct Beginning {
  std::mutex mutex;
  std::condition_variable noted;
  uint32_t begun = 0, without_storage = 0;
};

}  // namespace

Status OwnThreads::start(uint32_t n, const char* name, std::function<void()> work) {
  auto beginning = std::make_shared<Beginning>();  // outlives us where a thread cannot be started
  threads_.reserve(n);
  BlockSignals blocked;
  for (uint32_t i = 1; i <= n; i++) {
    try {
      threads_.emplace_back([beginning, work] {
        FpMode mode;
        bool usable = have_thread_storage();
        {
          std::lock_guard lock(beginning->mutex);
          beginning->begun++;
          beginning->without_storage += !usable;
          beginning->noted.notify_all();
        }
        if (usable) work();
      });
      char numbered[16];
      std::snprintf(numbered, sizeof numbered, "%s-%u", name, i);
      pthread_setname_np(threads_.back().native_handle(), numbered);
    } catch (const std::system_error& e) {
      return fail(GYR_E_RESOURCE_EXHAUSTED, "runtime", "cannot start thread %s-%u of %u: %s; ask for fewer threads",
                  name, i, n, e.what());
    }
  }
  std::unique_lock lock(beginning->mutex);
  beginning->noted.wait(lock, [&] { return beginning->begun == n; });
  if (beginning->without_storage)
    return fail(GYR_E_OUT_OF_MEMORY, "runtime", "no memory for the variables of %u threads of %s",
                beginning->without_storage, name);
  return {};
}

}  // namespace gyr
