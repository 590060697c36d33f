// A host with allocators of its own: malloc and operator new are replaced by the program, each marks what it gives out.
// Everything that the library takes comes back, to the one it came from.
//
//   allocators LIBRARY
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "process.h"
#include "scenario.h"

extern "C" {
void* __libc_malloc(size_t size);
void __libc_free(void* p);
void* __libc_memalign(size_t align, size_t size);
}

namespace {

constexpr uint64_t kMalloc = 0x6d616c6c6f636564, kNew = 0x6e65776564626c6b, kFreed = 0x64656164;

// Lies right before what the caller gets.
struct Header {
  void* start;
  size_t size;
  uint64_t mark;
  uint64_t unused;
};

std::atomic<int64_t> outstanding[2];  // bytes: malloc, new
std::atomic<int64_t> calls[2], crossed, unknown;

void* give(size_t size, size_t align, uint64_t mark) {
  if (align < sizeof(Header)) align = sizeof(Header);
  if (size > SIZE_MAX - 2 * align) return nullptr;
  char* start = static_cast<char*>(__libc_memalign(align, size + align));
  if (!start) return nullptr;
  Header* h = reinterpret_cast<Header*>(start + align) - 1;
  *h = {start, size, mark, 0};
  int which = mark == kNew;
  outstanding[which] += int64_t(size);
  calls[which]++;
  return h + 1;
}

void take(void* p, uint64_t mark) {
  if (!p) return;
  Header* h = static_cast<Header*>(p) - 1;
  if (h->mark != kMalloc && h->mark != kNew) {
    unknown++;  // not ours, or freed before: leave it lying
    return;
  }
  if (h->mark != mark) crossed++;
  outstanding[h->mark == kNew] -= int64_t(h->size);
  h->mark = kFreed;
  std::memset(p, 0xdd, h->size);
  __libc_free(h->start);
}

}  // namespace

extern "C" {

void* malloc(size_t size) { return give(size, 0, kMalloc); }
void free(void* p) { take(p, kMalloc); }
void* calloc(size_t n, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(n, size, &bytes)) return nullptr;
  void* p = give(bytes, 0, kMalloc);
  return p ? std::memset(p, 0, bytes) : nullptr;
}
void* realloc(void* p, size_t size) {
  if (!p) return give(size, 0, kMalloc);
  size_t before = (static_cast<Header*>(p) - 1)->size;
  void* made = give(size, 0, kMalloc);
  if (!made) return nullptr;
  std::memcpy(made, p, before < size ? before : size);
  take(p, kMalloc);
  return made;
}
void* aligned_alloc(size_t align, size_t size) { return give(size, align, kMalloc); }
void* memalign(size_t align, size_t size) { return give(size, align, kMalloc); }
int posix_memalign(void** out, size_t align, size_t size) {
  void* p = give(size, align, kMalloc);
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}

}  // extern "C"

static void* must_give(size_t size, size_t align) {
  void* p = give(size, align, kNew);
  if (!p) throw std::bad_alloc();
  return p;
}
void* operator new(size_t size) { return must_give(size, 0); }
void* operator new[](size_t size) { return must_give(size, 0); }
void* operator new(size_t size, std::align_val_t align) { return must_give(size, size_t(align)); }
void* operator new[](size_t size, std::align_val_t align) { return must_give(size, size_t(align)); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return give(size, 0, kNew); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return give(size, 0, kNew); }
void* operator new(size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return give(size, size_t(a), kNew);
}
void* operator new[](size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return give(size, size_t(a), kNew);
}
void operator delete(void* p) noexcept { take(p, kNew); }
void operator delete[](void* p) noexcept { take(p, kNew); }
void operator delete(void* p, size_t) noexcept { take(p, kNew); }
void operator delete[](void* p, size_t) noexcept { take(p, kNew); }
void operator delete(void* p, std::align_val_t) noexcept { take(p, kNew); }
void operator delete[](void* p, std::align_val_t) noexcept { take(p, kNew); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { take(p, kNew); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { take(p, kNew); }

int main(int argc, char** argv) {
  api g;
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library || load_api(library, &g)) return std::fprintf(stderr, "allocators LIBRARY\n"), 2;
  char folder[300];
  make_folder(folder, sizeof folder);
  int failures = 0;
  int64_t news_before = calls[1], left[2][5];
  int threads = count_threads();
  for (int round = 0; round < 5; round++) {
    scenario s{};
    s.g = &g;
    s.dir = folder;
    s.log = stderr;
    s.threads = uint32_t(1 + round % 2 * 2);
    failures += scenario_run(&s);
    if (!threads_gone(threads)) failures++;
    for (int which : {0, 1}) left[which][round] = outstanding[which];
  }
  remove_folder(folder);
  // The first rounds may leave what is kept for good (a thread's stack cache, stdio, tables made once); rounds of one and
  // of three threads are compared with their own kind.
  for (int round : {3, 4})
    for (int which : {0, 1})
      if (left[which][round] > left[which][round - 2]) {
        failures++;
        std::fprintf(stderr, "round %d left %lld bytes of %s\n", round,
                     static_cast<long long>(left[which][round] - left[which][round - 2]), which ? "operator new" : "malloc");
      }
  if (calls[1] - news_before < 1000)
    failures++, std::fprintf(stderr, "the library does not use the host's operator new\n");
  if (crossed || unknown)
    failures++, std::fprintf(stderr, "%lld pointers crossed, %lld unknown\n", static_cast<long long>(crossed),
                             static_cast<long long>(unknown));
  std::printf("%lld calls of operator new, %lld of malloc, %d failures\n", static_cast<long long>(calls[1]),
              static_cast<long long>(calls[0]), failures);
  return failures != 0;
}
