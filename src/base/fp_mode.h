// The floating-point modes that our arithmetic counts on. A host may round upward, flush subnormals or have exceptions
// trap: our results must not depend on it, and the masked lanes of a vector loop must not bring it down. Threads
// inherit the modes of whoever starts them, so both calls and pool threads begin with this.
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace gyr {

class FpMode {
 public:
#if defined(__SSE__)
  FpMode() : before_(_mm_getcsr()) {
    if ((before_ & ~kFlags) != kDefault) _mm_setcsr(kDefault);
  }
  FpMode(const FpMode&) = delete;
  FpMode& operator=(const FpMode&) = delete;
  // The exceptions that our arithmetic noted go with it.
  ~FpMode() {
    if (_mm_getcsr() != before_) _mm_setcsr(before_);
  }

 private:
  static constexpr unsigned kDefault = 0x1f80;  // to nearest, subnormals kept, nothing traps
  static constexpr unsigned kFlags = 0x3f;
  unsigned before_;
#else
  FpMode() {}
#endif
};

}  // namespace gyr
