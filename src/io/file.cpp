#include "io/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"

namespace gyr {

namespace {

// One system call: a fault point, then the call, again when a signal interrupted it.
template <class Call>
auto system_call(Call&& call) -> decltype(call()) {
  if (fault(FaultKind::kIo)) {
    errno = EIO;
    return decltype(call())(-1);
  }
  for (;;) {
    auto result = call();
    if (result != decltype(result)(-1) || errno != EINTR) return result;
  }
}

// Some file systems refuse larger single transfers, and Linux caps them at 2 GiB anyway.
constexpr size_t kMaxTransfer = size_t(1) << 30;

Status io_error(const char* what, const std::string& path) {
  int code = errno;
  return fail_errno(code, "io", "cannot %s '%s': %s", what, path.c_str(), strerrordesc_np(code));
}

std::string folder_of(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Unique in this host: process, time and a counter; O_EXCL catches the rest.
std::string temporary_name(const std::string& folder) {
  static std::atomic<uint64_t> counter{0};
  uint64_t tag = mix64(uint64_t(getpid()) << 32 ^ uint64_t(monotonic_ns())) ^ mix64(counter.fetch_add(1));
  char name[40];
  std::snprintf(name, sizeof name, "/.gyr-%016llx.tmp", (unsigned long long)tag);
  return folder + name;
}

struct SaveTarget {
  std::string path;  // symbolic links followed
  mode_t mode = 0644;
  bool exists = false;
};

Result<SaveTarget> resolve(const std::string& path) {
  SaveTarget target{path};
  struct stat info;
  if (system_call([&] { return ::stat(path.c_str(), &info); }) != 0) {
    if (errno == ENOENT) return target;
    return io_error("look up", path);
  }
  if (!S_ISREG(info.st_mode))
    return fail(GYR_E_INVALID_ARGUMENT, "io", "cannot save to '%s': it exists and is not a regular file", path.c_str());
  target.mode = info.st_mode & 07777;
  target.exists = true;
  char real[PATH_MAX];
  if (system_call([&] { return ::realpath(path.c_str(), real) ? 0 : -1; }) != 0) return io_error("resolve", path);
  target.path = real;
  return target;
}

Status write_and_rename(File& file, const SaveTarget& target, std::span<const std::span<const uint8_t>> parts) {
  for (auto part : parts) GYR_TRY(file.write(part));
  if (target.exists) GYR_TRY(file.set_mode(target.mode));
  GYR_TRY(file.sync());
  std::string temporary = file.path();
  GYR_TRY(file.close());
  if (system_call([&] { return ::rename(temporary.c_str(), target.path.c_str()); }) != 0)
    return io_error("rename the finished file to", target.path);
  return {};
}

}  // namespace

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Result<File> File::open_read(const std::string& path) {
  int fd = system_call([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY); });
  if (fd >= 0) return File(fd, path);
  if (errno == ENOENT) {
    Status s = fail(GYR_E_NOT_FOUND, "io", "file '%s' does not exist", path.c_str());
    return s;
  }
  return io_error("open", path);
}

Result<File> File::create_new(const std::string& path, mode_t mode) {
  int fd = system_call([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode); });
  if (fd >= 0) return File(fd, path);
  if (errno == EEXIST) return fail(GYR_E_ALREADY_EXISTS, "io", "file '%s' exists already", path.c_str());
  return io_error("create", path);
}

Result<uint64_t> File::size() const {
  struct stat info;
  if (system_call([&] { return ::fstat(fd_, &info); }) != 0) return io_error("look up", path_);
  if (!S_ISREG(info.st_mode)) return fail(GYR_E_INVALID_ARGUMENT, "io", "'%s' is not a regular file", path_.c_str());
  return uint64_t(info.st_size);
}

Status File::read_at(uint64_t offset, std::span<uint8_t> out) const {
  while (!out.empty()) {
    size_t want = std::min(out.size(), kMaxTransfer);
    ssize_t got = system_call([&] { return ::pread(fd_, out.data(), want, off_t(offset)); });
    if (got < 0) return io_error("read", path_);
    if (got == 0)
      return fail(GYR_E_CORRUPT, "io", "'%s' ends at byte %llu, %zu more were expected", path_.c_str(),
                  (unsigned long long)offset, out.size());
    offset += uint64_t(got);
    out = out.subspan(size_t(got));
  }
  return {};
}

Status File::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    size_t want = std::min(bytes.size(), kMaxTransfer);
    ssize_t put = system_call([&] { return ::write(fd_, bytes.data(), want); });
    if (put < 0) return io_error("write", path_);
    if (put == 0) {
      errno = ENOSPC;
      return io_error("write", path_);
    }
    bytes = bytes.subspan(size_t(put));
  }
  return {};
}

Status File::set_mode(mode_t mode) {
  if (system_call([&] { return ::fchmod(fd_, mode); }) == 0) return {};
  return io_error("set the mode of", path_);
}

Status File::sync() {
  if (system_call([&] { return ::fsync(fd_); }) == 0) return {};
  return io_error("flush", path_);
}

Status File::close() {
  int fd = std::exchange(fd_, -1);
  bool failed = fault(FaultKind::kIo);
  // Not retried on EINTR: Linux has released the descriptor by then.
  if (::close(fd) != 0 && errno != EINTR) return io_error("close", path_);
  if (!failed) return {};
  errno = EIO;
  return io_error("close", path_);
}

Mapping::~Mapping() {
  if (data_) ::munmap(data_, size_);
}

Result<Mapping> Mapping::map(const File& file, uint64_t size) {
  Mapping mapping;
  if (size == 0) return mapping;
  void* data = system_call([&] { return ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0); });
  if (data == MAP_FAILED) return io_error("map", file.path());
  mapping.data_ = data;
  mapping.size_ = size;
  return mapping;
}

Status atomic_save(const std::string& path, std::span<const std::span<const uint8_t>> parts) {
  GYR_ASSIGN(SaveTarget target, resolve(path));
  std::string folder = folder_of(target.path);
  File file;
  for (int attempt = 0;; attempt++) {
    // A file that replaces a private one must not be readable by others even for a moment.
    auto created = File::create_new(temporary_name(folder), target.exists ? target.mode & 0600 : target.mode);
    if (created.ok()) {
      file = std::move(*created);
      break;
    }
    if (created.status().code() != GYR_E_ALREADY_EXISTS || attempt == 16)
      return std::move(created.status()).at(path.c_str());
  }
  std::string temporary = file.path();
  Status written = write_and_rename(file, target, parts);
  if (!written.ok()) {
    // No fault point: this is the clean-up of a failure, and whether it works decides nothing.
    ::unlink(temporary.c_str());
    return std::move(written).at(path.c_str());
  }
  int fd = system_call([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return io_error("open the folder of the saved file", path);
  int synced = system_call([&] { return ::fsync(fd); });
  int code = errno;
  ::close(fd);
  // Some network and virtual file systems cannot sync folders; the file itself is safe there.
  if (synced == 0 || code == EINVAL || code == ENOTSUP) return {};
  errno = code;
  return io_error("flush the folder of the saved file", path);
}

Result<std::string> read_text(const std::string& path, size_t limit) {
  GYR_ASSIGN(File file, File::open_read(path));
  std::string text(limit, '\0');
  size_t at = 0;
  while (at < limit) {
    ssize_t got = system_call([&] { return ::pread(file.fd(), text.data() + at, limit - at, off_t(at)); });
    if (got < 0) return io_error("read", path);
    if (got == 0) break;
    at += size_t(got);
  }
  text.resize(at);
  return text;
}

}  // namespace gyr
