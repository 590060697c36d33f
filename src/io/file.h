// The one door to the file system: every call passes io/file_watch.h, retries EINTR and handles short transfers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyr {

// A descriptor that closes itself. Offsets are explicit, so one File may be read from several threads.
class File {
 public:
  File() = default;
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~File();

  static Result<File> open_read(const std::string& path);
  // Reads pass the page cache; offsets, sizes and memory must be multiples of 4096. Fails where that is not to be had.
  static Result<File> open_direct(const std::string& path);
  // Fails with ALREADY_EXISTS when the path exists. `mode` is subject to the umask.
  static Result<File> create_new(const std::string& path, mode_t mode);
  // In `folder`, without a name: it goes when closed unless link() named it. `path` is what messages call it.
  static Result<File> create_unnamed(const std::string& folder, const std::string& path, mode_t mode);

  // Held until unlock(), or until every copy of the descriptor is closed: children of fork() have one. By one opener at
  // a time, in whatever process; GYR_E_BUSY when another one has it.
  static Result<File> lock(const std::string& path);
  void unlock();  // children's copies, too

  Result<uint64_t> size() const;  // regular files only
  // The first byte from `offset` on that may differ from zero, the size when there is none; `offset` itself where the
  // file system cannot tell.
  Result<uint64_t> next_data(uint64_t offset) const;
  // Exactly out.size() bytes at `offset`, or CORRUPT when the file ends before that.
  Status read_at(uint64_t offset, std::span<uint8_t> out) const;
  Status write(std::span<const uint8_t> bytes);  // appends at the descriptor's position
  Status set_mode(mode_t mode);
  Status sync();
  // Space for the first `bytes` bytes, which read as zeros. File systems that cannot do it are left alone.
  Status allocate(uint64_t bytes);
  Status sync_data();  // what reading the bytes back needs, and no more
  Status truncate(uint64_t bytes);
  Status link(const std::string& name);  // of an unnamed file
  Status close();                        // reports what the destructor would swallow

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }

 private:
  explicit File(std::string path) : path_(std::move(path)) {}
  int fd_ = -1;
  std::string path_;
};

// A read-only private mapping of a whole file. The file must not be truncated while it lives (SIGBUS); a rename over
// it, as atomic saving does, is fine.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();
  static Result<Mapping> map(const File& file, uint64_t size);
  std::span<const uint8_t> bytes() const { return {static_cast<const uint8_t*>(data_), size_}; }
  // Pages that are written to from now on become this process's own.
  Status allow_writes() const;

 private:
  void* data_ = nullptr;
  uint64_t size_ = 0;
};

// Replaces `path` by the concatenation of `parts`: a new file in the same folder, fsync, rename, fsync of the folder.
// The mode of an existing file is kept; a new one gets 0644 less the umask. On failure the old file is whole and the
// new one gone; only a failing fsync of the folder leaves the new file, whole, in place. A process that is killed
// leaves nothing where the file system knows files without a name (O_TMPFILE), else perhaps a ".gyr-<16 hex
// digits>.tmp".
Status atomic_save(const std::string& path, std::span<const std::span<const uint8_t>> parts);
// The same with what write() writes, which may be called again when the first way to save did not work.
Status atomic_save(const std::string& path, const std::function<Status(File*)>& write);

// What the folder of a path is; "." for a bare name.
std::string folder_of(const std::string& path);
// Its entries are on disk when this returns. `path`: what messages say was saved there.
Status sync_folder(const std::string& folder, const std::string& path);
// One that is there already is as good; the parent must exist. Its name may not be on disk yet.
Status make_folder(const std::string& path);
Result<std::vector<std::string>> list_folder(const std::string& path);  // without . and ..
Status remove_file(const std::string& path);

// Small text files of /proc and /sys, whose size is not known before reading. At most `limit` bytes.
Result<std::string> read_text(const std::string& path, size_t limit = 1 << 16);

}  // namespace gyr
