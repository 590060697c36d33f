#include "exec/huge_pages.h"

#include <sys/mman.h>

#include "base/knobs.h"
#include "base/math.h"

namespace gyr {

void advise_huge(void* p, uint64_t bytes) {
  const uint64_t begin = align_up(reinterpret_cast<uintptr_t>(p), kHugePage),
                 end = (reinterpret_cast<uintptr_t>(p) + bytes) & ~(kHugePage - 1);
  if (begin < end && knobs::mapping()) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace gyr
