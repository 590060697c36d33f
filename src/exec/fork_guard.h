// Tells a forked child apart with one load: the kernel zeroes the page in the child.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

namespace gyr {

class ForkGuard {
 public:
  ForkGuard() : pid_(getpid()) {
    size_ = size_t(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (madvise(page, size_, MADV_WIPEONFORK) != 0) {
      munmap(page, size_);
      return;
    }
    mark_ = static_cast<volatile int*>(page);
    *mark_ = 1;
  }
  ~ForkGuard() {
    if (mark_) munmap(const_cast<int*>(mark_), size_);
  }
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;

  bool in_creator() const { return mark_ ? *mark_ == 1 : getpid() == pid_; }

 private:
  volatile int* mark_ = nullptr;  // null on kernels without MADV_WIPEONFORK (before 4.14)
  size_t size_ = 0;
  pid_t pid_;
};

}  // namespace gyr
