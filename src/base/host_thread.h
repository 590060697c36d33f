// A thread of the host, while it is in a call of ours.
#pragma once

#include <pthread.h>

#include "base/fp_mode.h"

namespace gyr {

// Our floating-point modes, and no cancellation: pthread_cancel unwinds through frames that may not throw, which ends
// the process. A cancellation that was asked for meanwhile waits for the host's next cancellation point.
class HostThread {
 public:
  HostThread() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~HostThread() { pthread_setcancelstate(before_, nullptr); }
  HostThread(const HostThread&) = delete;
  HostThread& operator=(const HostThread&) = delete;

 private:
  int before_ = 0;
  FpMode mode_;
};

}  // namespace gyr
