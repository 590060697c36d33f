#include "io/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>

#include "base/clock.h"
#include "base/hash.h"
#include "io/file_watch.h"

namespace gyr {

std::string folder_of(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return path.substr(0, std::max<size_t>(slash, 1));  // "/x" lies in "/"
}

namespace {

// One system call, again when a signal interrupted it. `call` takes the number of bytes to transfer.
template <class Call>
auto system_call(const FileCall& what, Call&& call) {
  for (;;) {
    auto result = watched(what, call);
    if (result != decltype(result)(-1) || errno != EINTR) return result;
  }
}

// A write beyond RLIMIT_FSIZE sends this thread SIGXFSZ, which ends the process of a host that did not expect it. EFBIG
// says the same.
class HoldFileSizeSignal {
 public:
  HoldFileSizeSignal() {
    sigemptyset(&only_);
    sigaddset(&only_, SIGXFSZ);
    sigset_t pending;
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &only_, &before_);
    ours_ = !sigismember(&pending, SIGXFSZ) && !sigismember(&before_, SIGXFSZ);
  }
  ~HoldFileSizeSignal() {
    const timespec now{};
    while (ours_ && sigtimedwait(&only_, nullptr, &now) == SIGXFSZ) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HoldFileSizeSignal(const HoldFileSizeSignal&) = delete;

 private:
  sigset_t only_, before_;
  bool ours_;
};

// Some file systems refuse larger single transfers, and Linux caps them at 2 GiB anyway.
constexpr size_t kMaxTransfer = size_t(1) << 30;

Status io_error(const char* what, const std::string& path) {
  int code = errno;
  return fail_errno(code, "io", "cannot %s '%s': %s", what, path.c_str(), strerrordesc_np(code));
}

// In a host that has closed 0, 1 or 2, whatever writes to its stderr must not write into our file.
int above_stdio(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  int code = errno;
  ::close(fd);
  errno = code;
  return moved;
}

// Unique in this host: process, time and a counter; O_EXCL catches the rest.
std::string temporary_name(const std::string& folder) {
  static std::atomic<uint64_t> counter{0};
  uint64_t tag = mix64(uint64_t(getpid()) << 32 ^ uint64_t(monotonic_ns())) ^ mix64(counter.fetch_add(1));
  char name[40];
  std::snprintf(name, sizeof name, "/.gyr-%016llx.tmp", (unsigned long long)tag);
  return folder + name;
}

// The one path to a file that has no name.
std::string proc_name(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

struct SaveTarget {
  std::string path;  // symbolic links followed
  mode_t mode = 0644;
  bool exists = false;
};

// A link to where nothing is yet: the file is made there, and the link stays.
Status follow_dangling(std::string* path) {
  for (char to[PATH_MAX];;) {
    auto length =
        system_call({FileOp::kLookUp, path->c_str()}, [&](size_t) { return ::readlink(path->c_str(), to, sizeof to); });
    if (length < 0) return errno == EINVAL || errno == ENOENT ? Status() : io_error("read the link", *path);
    std::string target(to, size_t(length));
    if (!target.starts_with('/')) target.insert(0, folder_of(*path) + "/");
    *path = std::move(target);
  }
}

Result<SaveTarget> resolve(const std::string& path) {
  SaveTarget target{path};
  if (path.empty()) return fail(GYR_E_INVALID_ARGUMENT, "io", "the path is empty; name the file to save to");
  struct stat info;
  if (system_call({FileOp::kLookUp, path.c_str()}, [&](size_t) { return ::stat(path.c_str(), &info); }) != 0) {
    if (errno != ENOENT) return io_error("look up", path);
    GYR_TRY(follow_dangling(&target.path));
    return target;
  }
  if (!S_ISREG(info.st_mode))
    return fail(GYR_E_INVALID_ARGUMENT, "io", "cannot save to '%s': it exists and is not a regular file", path.c_str());
  target.mode = info.st_mode & 07777;
  target.exists = true;
  char real[PATH_MAX];
  if (system_call({FileOp::kLookUp, path.c_str()}, [&](size_t) { return ::realpath(path.c_str(), real) ? 0 : -1; }))
    return io_error("resolve", path);
  target.path = real;
  return target;
}

// The content on disk, still under no name or a temporary one.
using Write = std::function<Status(File*)>;
Status fill(File& file, const SaveTarget& target, const Write& write) {
  GYR_TRY(write(&file));
  if (target.exists) GYR_TRY(file.set_mode(target.mode));
  return file.sync();
}

void discard(const std::string& path) {
  // The clean-up of a failure: whether it works decides nothing.
  system_call({FileOp::kUnlink, path.c_str()}, [&](size_t) { return ::unlink(path.c_str()); });
}

// A file without a name goes when its process is killed or the power fails, so it is tried first. `name` stays empty
// where the file system has no such files, or refuses to name one: the next function does without.
Result<File> fill_unnamed(const SaveTarget& target, const std::string& folder, const Write& write, std::string* name) {
  auto created = File::create_unnamed(folder, target.path, target.mode);
  if (!created.ok()) return File();
  GYR_TRY(fill(*created, target, write));
  std::string temporary = temporary_name(folder);
  if (created->link(temporary).ok()) *name = std::move(temporary);
  return std::move(*created);
}

Result<File> fill_named(const SaveTarget& target, const std::string& folder, const Write& write, std::string* name) {
  for (int attempt = 0;; attempt++) {
    std::string temporary = temporary_name(folder);
    // A file that replaces a private one must not be readable by others even for a moment.
    auto created = File::create_new(temporary, target.exists ? target.mode & 0600 : target.mode);
    if (!created.ok() && created.status().code() == GYR_E_ALREADY_EXISTS && attempt < 16) continue;
    if (!created.ok()) return created;
    Status filled = fill(*created, target, write);
    if (!filled.ok()) {
      discard(temporary);
      return filled;
    }
    *name = std::move(temporary);
    return created;
  }
}

}  // namespace

Status sync_folder(const std::string& folder, const std::string& path) {
  int fd = system_call({FileOp::kOpenFolder, folder.c_str()},
                       [&](size_t) { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return io_error("open the folder of the saved file", path);
  int synced = system_call({FileOp::kSyncFolder, folder.c_str(), fd}, [&](size_t) { return ::fsync(fd); });
  int code = errno;
  ::close(fd);
  // Some network and virtual file systems cannot sync folders; the file itself is safe there.
  if (synced == 0 || code == EINVAL || code == ENOTSUP) return {};
  errno = code;
  return io_error("flush the folder of the saved file", path);
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Result<File> File::open_read(const std::string& path) {
  if (path.empty()) return fail(GYR_E_INVALID_ARGUMENT, "io", "the path is empty; name the file to open");
  File file(path);
  // O_NONBLOCK: a FIFO would wait for a writer; size() refuses it.
  file.fd_ = system_call({FileOp::kOpen, path.c_str()}, [&](size_t) {
    return above_stdio(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  });
  if (file.fd_ >= 0) return file;
  if (errno == ENOENT) return fail(GYR_E_NOT_FOUND, "io", "file '%s' does not exist", path.c_str());
  return io_error("open", path);
}

Result<File> File::open_direct(const std::string& path) {
  File file(path);
  file.fd_ = system_call({FileOp::kOpen, path.c_str()}, [&](size_t) {
    return above_stdio(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_DIRECT));
  });
  if (file.fd_ < 0) return io_error("open", path);
  return file;
}

Result<File> File::create_new(const std::string& path, mode_t mode) {
  File file(path);
  file.fd_ = system_call({FileOp::kCreate, path.c_str()}, [&](size_t) {
    return above_stdio(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode));
  });
  if (file.fd_ >= 0) return file;
  if (errno == EEXIST) return fail(GYR_E_ALREADY_EXISTS, "io", "file '%s' exists already", path.c_str());
  return io_error("create", path);
}

Result<File> File::create_unnamed(const std::string& folder, const std::string& path, mode_t mode) {
  File file(path);
  file.fd_ = system_call({FileOp::kCreateUnnamed, folder.c_str()}, [&](size_t) {
    return above_stdio(::open(folder.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, mode));
  });
  if (file.fd_ < 0) return io_error("create an unnamed file for", path);
  // Only /proc can name it later; better to know before the bytes are written.
  std::string handle = proc_name(file.fd_);
  if (system_call({FileOp::kLink, path.c_str(), file.fd_}, [&](size_t) { return ::access(handle.c_str(), F_OK); }) != 0)
    return io_error("find /proc for", path);
  return file;
}

Result<File> File::lock(const std::string& path) {
  File file(path);
  file.fd_ = system_call({FileOp::kLock, path.c_str()}, [&](size_t) {
    int fd = above_stdio(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644));
    // The lock belongs to this opening of the file, not to the process.
    if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    int code = errno;
    ::close(fd);
    errno = code;
    return -1;
  });
  if (file.fd_ >= 0) return file;
  struct stat folder;
  if (errno == ENOENT && ::stat(folder_of(path).c_str(), &folder) == 0)
    return fail_errno(ENOENT, "io", "cannot make '%s': the file system of its folder takes no files", path.c_str());
  if (errno == ENOENT) return fail(GYR_E_NOT_FOUND, "io", "the folder of '%s' does not exist", path.c_str());
  if (errno == EWOULDBLOCK) return fail(GYR_E_BUSY, "io", "'%s' is locked: another opener uses it", path.c_str());
  return io_error("lock", path);
}

void File::unlock() {
  system_call({FileOp::kLock, path_.c_str(), fd_}, [&](size_t) { return ::flock(fd_, LOCK_UN); });
}

Result<uint64_t> File::size() const {
  struct stat info;
  if (system_call({FileOp::kLookUp, path_.c_str(), fd_}, [&](size_t) { return ::fstat(fd_, &info); }) != 0)
    return io_error("look up", path_);
  if (!S_ISREG(info.st_mode)) return fail(GYR_E_INVALID_ARGUMENT, "io", "'%s' is not a regular file", path_.c_str());
  return uint64_t(info.st_size);
}

Status File::read_at(uint64_t offset, std::span<uint8_t> out) const {
  while (!out.empty()) {
    ssize_t got = system_call({FileOp::kRead, path_.c_str(), fd_, std::min(out.size(), kMaxTransfer)},
                              [&](size_t want) { return ::pread(fd_, out.data(), want, off_t(offset)); });
    if (got < 0) return io_error("read", path_);
    if (got == 0)
      return fail(GYR_E_CORRUPT, "io", "'%s' ends at byte %llu, %zu more were expected", path_.c_str(),
                  (unsigned long long)offset, out.size());
    offset += uint64_t(got);
    out = out.subspan(size_t(got));
  }
  return {};
}

Result<uint64_t> File::next_data(uint64_t offset) const {
  off_t at = system_call({FileOp::kLookUp, path_.c_str(), fd_},
                         [&](size_t) { return ::lseek(fd_, off_t(offset), SEEK_DATA); });
  if (at >= 0) return uint64_t(at);
  if (errno == ENXIO) return size();
  if (errno == EINVAL || errno == EOPNOTSUPP) return offset;
  return io_error("look up", path_);
}

Status File::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t put = system_call({FileOp::kWrite, path_.c_str(), fd_, std::min(bytes.size(), kMaxTransfer), bytes.data()},
                              [&](size_t want) { return ::write(fd_, bytes.data(), want); });
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
  if (system_call({FileOp::kMode, path_.c_str(), fd_}, [&](size_t) { return ::fchmod(fd_, mode); }) == 0) return {};
  return io_error("set the mode of", path_);
}

Status File::sync() {
  if (system_call({FileOp::kSync, path_.c_str(), fd_}, [&](size_t) { return ::fsync(fd_); }) == 0) return {};
  return io_error("flush", path_);
}

Status File::allocate(uint64_t bytes) {
  HoldFileSizeSignal held;
  if (system_call({FileOp::kAllocate, path_.c_str(), fd_, bytes},
                  [&](size_t) { return ::fallocate(fd_, 0, 0, off_t(bytes)); }) == 0)
    return {};
  if (errno == EOPNOTSUPP || errno == ENOSYS) return {};
  return io_error("reserve space for", path_);
}

Status File::sync_data() {
  if (system_call({FileOp::kSyncData, path_.c_str(), fd_}, [&](size_t) { return ::fdatasync(fd_); }) == 0) return {};
  return io_error("flush", path_);
}

Status File::truncate(uint64_t bytes) {
  if (system_call({FileOp::kTruncate, path_.c_str(), fd_, bytes},
                  [&](size_t) { return ::ftruncate(fd_, off_t(bytes)); }) == 0)
    return {};
  return io_error("cut", path_);
}

Status File::link(const std::string& name) {
  std::string handle = proc_name(fd_);
  if (system_call({FileOp::kLink, path_.c_str(), fd_, 0, nullptr, name.c_str()}, [&](size_t) {
        return ::linkat(AT_FDCWD, handle.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW);
      }) == 0)
    return {};
  return io_error("name the file for", path_);
}

Status File::close() {
  int fd = std::exchange(fd_, -1);
  // Once: Linux has released the descriptor even when a signal came in between.
  if (watched({FileOp::kClose, path_.c_str(), fd}, [&](size_t) { return ::close(fd); }) == 0 || errno == EINTR)
    return {};
  return io_error("close", path_);
}

Mapping::~Mapping() {
  if (data_) ::munmap(data_, size_);
}

Result<Mapping> Mapping::map(const File& file, uint64_t size) {
  Mapping mapping;
  if (size == 0) return mapping;
  void* data = system_call({FileOp::kMap, file.path().c_str(), file.fd()},
                           [&](size_t) { return ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0); });
  if (data == MAP_FAILED) return io_error("map", file.path());
  mapping.data_ = data;
  mapping.size_ = size;
  return mapping;
}

Status Mapping::allow_writes() const {
  if (data_ && ::mprotect(data_, size_, PROT_READ | PROT_WRITE) != 0)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "io", "no memory for changes to %llu mapped bytes: %s",
                (unsigned long long)size_, strerrordesc_np(errno));
  return {};
}

Status atomic_save(const std::string& path, std::span<const std::span<const uint8_t>> parts) {
  return atomic_save(path, [&](File* file) -> Status {
    for (auto part : parts) GYR_TRY(file->write(part));
    return {};
  });
}

Status atomic_save(const std::string& path, const Write& write) {
  HoldFileSizeSignal held;
  GYR_ASSIGN(SaveTarget target, resolve(path));
  std::string folder = folder_of(target.path), temporary;
  auto filled = fill_unnamed(target, folder, write, &temporary);
  if (filled.ok() && temporary.empty()) filled = fill_named(target, folder, write, &temporary);
  if (!filled.ok()) return std::move(filled.status()).at(path.c_str());
  Status closed = filled->close();
  if (closed.ok() && system_call({FileOp::kRename, temporary.c_str(), -1, 0, nullptr, target.path.c_str()},
                                 [&](size_t) { return ::rename(temporary.c_str(), target.path.c_str()); }) != 0)
    closed = io_error("rename the finished file to", target.path);
  if (closed.ok()) return sync_folder(folder, path);
  discard(temporary);
  return std::move(closed).at(path.c_str());
}

Status make_folder(const std::string& path) {
  if (path.empty()) return fail(GYR_E_INVALID_ARGUMENT, "io", "the path is empty; name the folder");
  if (system_call({FileOp::kMakeFolder, path.c_str()}, [&](size_t) { return ::mkdir(path.c_str(), 0755); }) == 0)
    return {};
  struct stat info;
  if (errno != EEXIST) return io_error("make the folder", path);
  if (system_call({FileOp::kLookUp, path.c_str()}, [&](size_t) { return ::stat(path.c_str(), &info); }) != 0)
    return io_error("look up", path);
  if (S_ISDIR(info.st_mode)) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "io", "'%s' exists and is no folder", path.c_str());
}

Result<std::vector<std::string>> list_folder(const std::string& path) {
  DIR* folder = nullptr;
  int opened = system_call({FileOp::kList, path.c_str()}, [&](size_t) {
    folder = ::opendir(path.c_str());
    return folder ? 0 : -1;
  });
  if (opened != 0 && errno == ENOMEM) throw std::bad_alloc();
  if (opened != 0) return io_error("list the folder", path);
  struct Close {
    DIR* folder;
    ~Close() { ::closedir(folder); }
  } close{folder};
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder);
    if (!entry) break;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno) return io_error("list the folder", path);
  return names;
}

Status remove_file(const std::string& path) {
  if (system_call({FileOp::kUnlink, path.c_str()}, [&](size_t) { return ::unlink(path.c_str()); }) == 0) return {};
  return io_error("remove", path);
}

Result<std::string> read_text(const std::string& path, size_t limit) {
  GYR_ASSIGN(File file, File::open_read(path));
  std::string text(limit, '\0');
  size_t at = 0;
  while (at < limit) {
    ssize_t got = system_call({FileOp::kRead, path.c_str(), file.fd(), limit - at},
                              [&](size_t want) { return ::pread(file.fd(), text.data() + at, want, off_t(at)); });
    if (got < 0) return io_error("read", path);
    if (got == 0) break;
    at += size_t(got);
  }
  text.resize(at);
  return text;
}

}  // namespace gyr
