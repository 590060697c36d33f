// Disturbs the library's file access at its n-th call (io/file_watch.h).
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "io/file_watch.h"

namespace gyr::test {

#ifdef GYR_FAULTS

enum class Trouble {
  kError,      // EIO instead of the call
  kNoSpace,    // half of a write lands, the next one meets ENOSPC
  kInterrupt,  // EINTR, `times` times over
  kShort,      // half of a transfer, without an error
  kTorn,       // whole 512-byte sectors of half of a write land, then EIO
  kEnd,        // a read finds the end of the file
  kDie,        // the process ends before the call
  kDieTorn,    // the process ends in the middle of a write
};

// What a caller never notices.
inline bool harmless(Trouble t) { return t == Trouble::kInterrupt || t == Trouble::kShort; }

struct Plan {
  Trouble trouble;
  bool persistent;
  int times = 1;  // in a row, of kInterrupt
};

constexpr int kDeathMark = 77;  // exit status of a process that died by kDie

inline const char* name(Trouble t) {
  constexpr const char* kNames[] = {"error", "no space", "interrupt", "short", "torn", "end", "die", "die torn"};
  return kNames[int(t)];
}

// The n-th call that the trouble applies to meets it; with `persistent` every later one, too. Removing a temporary file
// is never disturbed: it is the clean-up that the tests look for.
class Disturber final : public FileWatch {
 public:
  Disturber(Trouble trouble, int64_t nth, bool persistent = false, int times = 1)
      : trouble_(trouble), nth_(nth), persistent_(persistent), times_(times) {
    file_watch = this;
  }
  ~Disturber() override { file_watch = nullptr; }
  Disturber(const Disturber&) = delete;

  bool unnamed_files = true;  // false: a file system that has none

  bool met() const { return met_; }
  FileOp first() const { return first_; }  // what met the trouble first
  const std::string& first_path() const { return first_path_; }
  int error() const { return error_; }       // the last errno given out
  bool renamed() const { return renamed_; }  // a new file has taken its place

  FileVerdict before(const FileCall& call) override {
    if (again_ > 0) return again_--, fail(EINTR);  // a retry of the call that was interrupted
    if (std::exchange(retry_pending_, false)) return {};
    if (call.op == FileOp::kCreateUnnamed && !unnamed_files) return {false, 0, EOPNOTSUPP};
    if (half_written_ && is_space_op(call)) {
      half_written_ = persistent_;
      return fail(ENOSPC);
    }
    if (!applies(call)) return {};
    int64_t i = seen_++;
    if (i < nth_ || (i > nth_ && !persistent_)) return {};
    if (!met_) first_ = call.op, first_path_ = call.path;
    met_ = true;
    return meet(call);
  }
  void after(const FileCall& call, bool ok, ptrdiff_t) override {
    if (call.op == FileOp::kRename && ok) renamed_ = true;
    if (die_after_) _exit(kDeathMark);
  }

 private:
  static bool is_space_op(const FileCall& c) {
    return c.op == FileOp::kWrite || c.op == FileOp::kCreate || c.op == FileOp::kCreateUnnamed ||
           c.op == FileOp::kLink || c.op == FileOp::kRename || c.op == FileOp::kSync;
  }
  bool applies(const FileCall& c) const {
    if (c.op == FileOp::kUnlink) return trouble_ == Trouble::kDie;
    switch (trouble_) {
      case Trouble::kNoSpace:
        return is_space_op(c);
      case Trouble::kShort:
        return c.size > 1;
      case Trouble::kTorn:
      case Trouble::kDieTorn:
        return c.op == FileOp::kWrite;
      case Trouble::kEnd:
        return c.op == FileOp::kRead;
      default:
        return true;
    }
  }
  FileVerdict fail(int code) {
    error_ = code;
    return {.perform = false, .limit = size_t(-1), .error = code};
  }
  FileVerdict meet(const FileCall& c) {
    switch (trouble_) {
      case Trouble::kError:
        // A close that fails has closed all the same.
        return error_ = EIO, FileVerdict{.perform = c.op == FileOp::kClose, .limit = size_t(-1), .error = EIO};
      case Trouble::kNoSpace:
        half_written_ = c.op == FileOp::kWrite && c.size > 1;
        return half_written_ ? FileVerdict{.perform = true, .limit = c.size / 2, .error = 0} : fail(ENOSPC);
      case Trouble::kInterrupt:
        if (c.op == FileOp::kClose) return error_ = EINTR, FileVerdict{true, size_t(-1), EINTR};
        again_ = times_ - 1;
        retry_pending_ = true;
        return fail(EINTR);
      case Trouble::kShort:
        return {.perform = true, .limit = std::max<size_t>(1, c.size / 2), .error = 0};
      case Trouble::kTorn:
        return error_ = EIO, FileVerdict{c.size >= 1024, c.size / 2 / 512 * 512, EIO};
      case Trouble::kEnd:
        return {.perform = true, .limit = 0, .error = 0};
      case Trouble::kDie:
        _exit(kDeathMark);
      case Trouble::kDieTorn:
        die_after_ = true;
        return {.perform = true, .limit = c.size / 2 / 512 * 512, .error = 0};
    }
    return {};
  }

  const Trouble trouble_;
  const int64_t nth_;
  const bool persistent_;
  const int times_;
  int64_t seen_ = 0;
  int again_ = 0, error_ = 0;
  bool met_ = false, renamed_ = false, half_written_ = false, retry_pending_ = false, die_after_ = false;
  FileOp first_ = FileOp::kLookUp;
  std::string first_path_;
};

#endif

}  // namespace gyr::test
