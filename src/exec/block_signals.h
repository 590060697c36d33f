// For starting threads of ours.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace gyr {

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

}  // namespace gyr
