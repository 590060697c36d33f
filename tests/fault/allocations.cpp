#include "tests/fault/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace gyr::test::allocations {
namespace {

std::atomic<bool> armed{false};
std::atomic<bool> forever{false};
std::atomic<int64_t> target{kNever}, seen{0}, refused{0}, blocks{0};
thread_local int host_depth = 0;

}  // namespace

// A place for a debugger's breakpoint: who asked for the memory that was refused.
[[gnu::noinline]] void refuse() { refused.fetch_add(1, std::memory_order_relaxed); }

bool deny() {
  if (!armed.load(std::memory_order_relaxed) || host_depth > 0) return false;
  int64_t n = seen.fetch_add(1, std::memory_order_relaxed);
  int64_t t = target.load(std::memory_order_relaxed);
  if (n != t && !(n > t && forever.load(std::memory_order_relaxed))) return false;
  refuse();
  return true;
}

void arm(int64_t n, Mode mode) {
  target = n;
  forever = mode == Mode::kForever;
  seen = refused = 0;
  armed = true;
}

void disarm() { armed = false; }
int64_t failed() { return refused; }
int64_t passed() { return seen; }
int64_t live() { return blocks; }

Host::Host() { host_depth++; }
Host::~Host() { host_depth--; }

namespace {

[[maybe_unused]] void* count(void* p) {
  if (p) blocks.fetch_add(1, std::memory_order_relaxed);
  return p;
}

[[maybe_unused]] void uncount(void* p) {
  if (p) blocks.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace
}  // namespace gyr::test::allocations

using namespace gyr::test::allocations;  // NOLINT(google-build-using-namespace)

#if defined(__SANITIZE_ADDRESS__)

namespace {

void* get(size_t size, size_t align) {
  if (deny()) return nullptr;
  return count(align ? std::aligned_alloc(align, (size + align - 1) / align * align) : std::malloc(size ? size : 1));
}

void* need(size_t size, size_t align) {
  if (void* p = get(size, align)) return p;
  throw std::bad_alloc();
}

void drop(void* p) {
  uncount(p);
  std::free(p);
}

}  // namespace

void* operator new(size_t n) { return need(n, 0); }
void* operator new[](size_t n) { return need(n, 0); }
void* operator new(size_t n, std::align_val_t a) { return need(n, size_t(a)); }
void* operator new[](size_t n, std::align_val_t a) { return need(n, size_t(a)); }
void* operator new(size_t n, const std::nothrow_t&) noexcept { return get(n, 0); }
void* operator new[](size_t n, const std::nothrow_t&) noexcept { return get(n, 0); }
void* operator new(size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return get(n, size_t(a)); }
void* operator new[](size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return get(n, size_t(a)); }
void operator delete(void* p) noexcept { drop(p); }
void operator delete[](void* p) noexcept { drop(p); }
void operator delete(void* p, size_t) noexcept { drop(p); }
void operator delete[](void* p, size_t) noexcept { drop(p); }
void operator delete(void* p, std::align_val_t) noexcept { drop(p); }
void operator delete[](void* p, std::align_val_t) noexcept { drop(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { drop(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { drop(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { drop(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { drop(p); }
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { drop(p); }
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { drop(p); }

#else

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) {
  if (!deny()) return count(__libc_malloc(size));
  errno = ENOMEM;
  return nullptr;
}

void* calloc(size_t n, size_t size) {
  if (!deny()) return count(__libc_calloc(n, size));
  errno = ENOMEM;
  return nullptr;
}

void* realloc(void* old, size_t size) {
  if (size && deny()) {
    errno = ENOMEM;
    return nullptr;
  }
  void* p = __libc_realloc(old, size);
  if (!old) count(p);
  if (old && size == 0) uncount(old);
  return p;
}

void* memalign(size_t align, size_t size) {
  if (!deny()) return count(__libc_memalign(align, size));
  errno = ENOMEM;
  return nullptr;
}

void* aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void** out, size_t align, size_t size) {
  if (deny()) return ENOMEM;
  void* p = count(__libc_memalign(align, size));
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}

void free(void* p) {
  int saved = errno;
  uncount(p);
  __libc_free(p);
  errno = saved;
}

}  // extern "C"

#endif
