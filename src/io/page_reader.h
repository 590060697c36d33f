// Many small reads at once, past the page cache: io_uring by its system calls, or pread where the kernel or a sandbox
// forbids it. Source of the interface: Documentation of io_uring_setup(2), io_uring_enter(2), linux/io_uring.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file.h"

namespace gyr {

struct PageRead {
  const File* file;
  uint64_t offset;
  uint32_t bytes;
};

// One thread at a time.
class PageReader {
 public:
  // most_bytes: of one read; offsets and sizes are multiples of 4096.
  static std::unique_ptr<PageReader> make(uint32_t most_bytes, bool uring = true);
  virtual ~PageReader() = default;
  virtual bool uring() const = 0;
  // Calls use(i, data) for every read once, in any order; data is null where it failed or the file ended before.
  virtual void read(const PageRead* reads, size_t n, const std::function<void(size_t i, const uint8_t* data)>& use) = 0;
};

}  // namespace gyr
