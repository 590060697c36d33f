// Every system call of io/file.cpp passes here, so that tests can record it, make it fail or let it do half of its
// work. Built with GYR_FAULTS only (dev, asan, tsan and fuzz presets); in release builds watched() is the call itself.
#pragma once

#include <cerrno>
#include <cstddef>

namespace gyr {

enum class FileOp {
  kLookUp,         // stat, fstat, realpath
  kOpen,           // for reading
  kCreate,         // under a new name
  kCreateUnnamed,  // in the folder `path`
  kRead,
  kMap,
  kWrite,
  kMode,
  kSync,
  kLink,  // gives the unnamed file the name `to`; without one: can it be named?
  kClose,
  kRename,
  kUnlink,
  kOpenFolder,
  kSyncFolder,
  kMakeFolder,
  kList,      // the names in a folder
  kLock,      // opens and locks the file `path`
  kAllocate,  // `size` bytes of space for a file, reading as zeros
  kTruncate,  // to `size` bytes
  kSyncData,
};

struct FileCall {
  FileOp op;
  const char* path;            // of the file, or the one it will have
  int fd = -1;                 // the open file, where there is one
  size_t size = 0;             // bytes to transfer
  const void* data = nullptr;  // what is written
  const char* to = nullptr;    // new name
};

#ifdef GYR_FAULTS
// What a call meets: nothing by default.
struct FileVerdict {
  bool perform = true;        // make the call at all
  size_t limit = size_t(-1);  // transfer no more bytes than this
  int error = 0;              // then fail with this errno
};

class FileWatch {
 public:
  virtual ~FileWatch() = default;
  virtual FileVerdict before(const FileCall& call) = 0;
  virtual void after(const FileCall& call, bool ok, ptrdiff_t result) = 0;
};

// Set by tests while no other thread is inside the library.
inline FileWatch* file_watch = nullptr;

template <class Call>
auto watched(const FileCall& what, Call&& call) -> decltype(call(size_t())) {
  using R = decltype(call(size_t()));
  if (!file_watch) return call(what.size);
  FileVerdict verdict = file_watch->before(what);
  R result = R(-1);
  int code = 0;
  if (verdict.perform) {
    result = call(what.size < verdict.limit ? what.size : verdict.limit);
    code = errno;
  }
  file_watch->after(what, verdict.perform && result != R(-1), ptrdiff_t(result));
  if (verdict.error) result = R(-1), code = verdict.error;
  errno = code;
  return result;
}
#else
template <class Call>
auto watched(const FileCall& what, Call&& call) -> decltype(call(size_t())) {
  return call(what.size);
}
#endif

}  // namespace gyr
