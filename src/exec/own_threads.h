// Threads of ours: named, in our floating-point mode, with the host's signals left to the host's threads, and with
// their thread-local storage there before anything else runs on them.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "base/error.h"

namespace gyr {

class OwnThreads {
 public:
  // Starts `n` threads, <name>-1 and so on, that run work(), and returns when all have begun. Once, and when it fails
  // join() is still to be called: some may run. Nothing may be thrown by work().
  Status start(uint32_t n, const char* name, std::function<void()> work);
  // After they were told to end.
  void join() {
    for (auto& t : threads_) t.join();
  }
  uint32_t size() const { return uint32_t(threads_.size()); }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace gyr
