// Status and Result: how every layer below capi reports failure. Exceptions carry only bad_alloc (and the memory
// budget, which derives from it); capi's guard turns both into codes.
#pragma once

#include <gyr/base.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace gyr {

struct ErrorInfo {
  gyr_status code = GYR_OK;
  int32_t os_errno = 0;
  uint32_t flags = 0;
  char component[16] = {};
  char message[480] = {};
};

// Success is one null pointer. A failure owns its text, or none when even that allocation failed.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Status&&) = default;
  Status& operator=(Status&&) = default;

  static Status make(gyr_status code, const char* component, int os_errno, const char* format, va_list args) {
    Status s;
    s.code_ = code;
    s.info_.reset(new (std::nothrow) ErrorInfo);
    if (s.info_) {
      s.info_->code = code;
      s.info_->os_errno = os_errno;
      std::snprintf(s.info_->component, sizeof s.info_->component, "%s", component);
      std::vsnprintf(s.info_->message, sizeof s.info_->message, format, args);
    }
    return s;
  }

  bool ok() const { return code_ == GYR_OK; }
  explicit operator bool() const = delete;
  gyr_status code() const { return code_; }
  const char* message() const { return info_ ? info_->message : ""; }
  const ErrorInfo* info() const { return info_.get(); }
  // GYR_ERROR_* bits of gyr_error.flags.
  Status with_flags(uint32_t flags) && {
    if (info_) info_->flags |= flags;
    return std::move(*this);
  }
  // Prepends where it happened: "items.gyr: section 3: ...".
  Status at(const char* where) && {
    if (info_) {
      char old[sizeof info_->message];
      std::memcpy(old, info_->message, sizeof old);
      std::snprintf(info_->message, sizeof info_->message, "%.160s: %.310s", where, old);
    }
    return std::move(*this);
  }
  // Of what a file holds: what would be a caller's mistake elsewhere is damage of the file here.
  Status in_file(const char* where) && {
    switch (code_) {
      case GYR_E_INVALID_ARGUMENT:
      case GYR_E_INVALID_STATE:
      case GYR_E_OUT_OF_RANGE:
      case GYR_E_NOT_FOUND:
      case GYR_E_ALREADY_EXISTS:
      case GYR_E_UNSUPPORTED:
        code_ = GYR_E_CORRUPT;
        if (info_) info_->code = code_;
        break;
      default:
        break;
    }
    return std::move(*this).at(where);
  }

 private:
  gyr_status code_ = GYR_OK;
  std::unique_ptr<ErrorInfo> info_;
};

[[gnu::format(printf, 3, 4)]] inline Status fail(gyr_status code, const char* component, const char* format, ...) {
  va_list args;
  va_start(args, format);
  Status s = Status::make(code, component, 0, format, args);
  va_end(args);
  return s;
}

[[gnu::format(printf, 3, 4)]] inline Status fail_errno(int os_errno, const char* component, const char* format, ...) {
  va_list args;
  va_start(args, format);
  Status s = Status::make(GYR_E_IO, component, os_errno, format, args);
  va_end(args);
  return s;
}

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return status_.ok(); }
  Status& status() { return status_; }
  const Status& status() const { return status_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

// Thrown by exec/memory when a runtime's budget would be exceeded; allocators have no other way to say so.
struct BudgetExceeded : std::bad_alloc {
  const char* what() const noexcept override { return "memory budget exceeded"; }
};

}  // namespace gyr

#define GYR_CONCAT_(a, b) a##b
#define GYR_CONCAT(a, b) GYR_CONCAT_(a, b)

// GYR_TRY(expr): returns expr's failure from the enclosing function.
#define GYR_TRY(expr)                          \
  do {                                         \
    ::gyr::Status gyr_status_ = (expr);        \
    if (!gyr_status_.ok()) return gyr_status_; \
  } while (0)

// GYR_ASSIGN(auto x, expr): x = the Result's value, or returns its failure.
#define GYR_ASSIGN(decl, expr) GYR_ASSIGN_(decl, expr, GYR_CONCAT(gyr_result_, __LINE__))
#define GYR_ASSIGN_(decl, expr, tmp)             \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp.status()); \
  decl = std::move(*tmp)

// GYR_CHECK: an invariant of ours; failing it is a defect, never an abort of the host.
#define GYR_CHECK(cond, component)                                                                              \
  do {                                                                                                          \
    if (!(cond))                                                                                                \
      return ::gyr::fail(GYR_E_INTERNAL, component, "invariant failed: %s (%s:%d)", #cond, __FILE__, __LINE__); \
  } while (0)
