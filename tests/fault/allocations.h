// The test process's allocator, which can fail on request: every malloc, calloc, realloc, memalign and operator new of
// the library, the C++ runtime and libc comes here. Under AddressSanitizer only operator new does.
#pragma once

#include <cstdint>

namespace gyr::test::allocations {

constexpr int64_t kNever = INT64_MAX;

enum class Mode { kOnce, kForever };

// From now on the n-th allocation of any thread fails (and with kForever all that follow).
void arm(int64_t n, Mode mode);
void disarm();
int64_t failed();  // allocations failed since arm()
int64_t passed();  // allocations asked for since arm(), failed ones included
int64_t live();    // blocks of this process now; under AddressSanitizer those of operator new

// True when an allocation made now must fail; also counts it. For the hook of gyr_allocator.
bool deny();

// While one lives, this thread's allocations are the host's: never failed, never counted (callbacks).
struct Host {
  Host();
  ~Host();
  Host(const Host&) = delete;
};

}  // namespace gyr::test::allocations
