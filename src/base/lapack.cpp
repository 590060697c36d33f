// OpenBLAS built without threads takes its work buffers from a table that it does not guard on release (0.3.21,
// memory.c): two threads then share one buffer and both results are wrong. cmake/OpenBlas.cmake sends its calls here
// with the linker's --wrap, where a lock makes them whole. The lock is held for the look-up only, not for the work.
#include "base/lapack.h"

#include <atomic>
#include <cmath>
#include <mutex>

extern "C" {
// Fortran calling convention, column-major: our upper triangle is its lower one.
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void spotrs_(const char* uplo, const int* n, const int* nrhs, const float* a, const int* lda, float* b, const int* ldb,
             int* info);

void* __real_blas_memory_alloc(int place);
void __real_blas_memory_free(void* buffer);
void* __wrap_blas_memory_alloc(int place);
void __wrap_blas_memory_free(void* buffer);
void __wrap_openblas_read_env(void);
}

namespace {

constinit std::mutex buffers;
// Free places in the table: it has at least 50; beyond them OpenBLAS writes warnings to stderr and, later, ends the
// process. Who finds none waits.
constinit std::atomic<int> places{48};

class Place {
 public:
  Place() {
    for (int n = places.load(std::memory_order_relaxed);;) {
      if (n == 0) {
        places.wait(0, std::memory_order_relaxed);
        n = places.load(std::memory_order_relaxed);
      } else if (places.compare_exchange_weak(n, n - 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        return;
      }
    }
  }
  ~Place() {
    places.fetch_add(1, std::memory_order_release);
    places.notify_one();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
};

}  // namespace

void* __wrap_blas_memory_alloc(int place) {
  std::lock_guard lock(buffers);
  return __real_blas_memory_alloc(place);
}

void __wrap_blas_memory_free(void* buffer) {
  std::lock_guard lock(buffers);
  __real_blas_memory_free(buffer);
}

// The OPENBLAS_ variables of the environment are for the host's own copy: OPENBLAS_VERBOSE made ours write to stderr.
void __wrap_openblas_read_env(void) {}

namespace gyr {

bool solve_positive_definite(float* a, float* x, size_t size) {
  int n = int(size), one = 1, info = 0;
  Place place;
  spotrf_("L", &n, a, &n, &info);
  if (info != 0) return false;
  for (size_t i = 0; i < size; i++)
    if (!std::isfinite(a[i * size + i])) return false;  // LAPACK lets NaN and infinity pass
  spotrs_("L", &n, &one, a, &n, x, &n, &info);
  return info == 0;
}

}  // namespace gyr
