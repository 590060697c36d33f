// Near neighbours of many slots at once, by their codes. The slots are split by which of a few random ones is nearest,
// the parts again until they are small, and in a small part all are compared with all; that several times with other
// random ones, as every border hides some neighbours (with trees: Wang et al. 2012). A part's codes are contiguous and
// in the caches: a comparison costs a fraction of one that a walk makes.
#pragma once

#include <functional>
#include <span>

#include "exec/runtime.h"
#include "index/diverse.h"

namespace gyr::index {

struct PartitionOptions {
  uint32_t rounds = 4;  // splits
  uint32_t part = 256;  // slots of a part at most
  uint32_t kept = 10;   // neighbours that one part gives a slot
  uint32_t most = 32;   // and all rounds together
  uint64_t seed = 0;
};

struct Neighbours {
  explicit Neighbours(std::pmr::memory_resource* m) : lists(Aligned<Candidate>(m)), order(Aligned<uint32_t>(m)) {}
  std::span<const Candidate> of(uint64_t position) const {
    const Candidate* list = lists.data() + position * most;
    uint32_t n = 0;
    while (n < most && list[n].slot != kNone) n++;
    return {list, n};
  }
  uint32_t most = 0;
  Array<Candidate> lists;  // [members, most], nearest first, then kNone
  Array<uint32_t> order;   // positions of members, near ones after each other
};

// Those among `from` with whom a member has the largest products: `take` gets most of the best `kept`, best first, and
// the number of the thread. A part looks at those that are best for the mean of its members.
struct Products {
  std::span<const uint32_t> from;
  uint32_t kept = 48;
  uint32_t candidates = 512;  // of a part
  std::function<void(uint64_t position, std::span<const Candidate> best, uint32_t worker)> take;
};

// Of the members among themselves by squared distance, and `products` when there are. members: distinct. `stop` is
// asked now and then, by any thread; true ends it with lists that are not whole. The same for any number of threads.
void find_neighbours(const Codes& codes, std::span<const uint32_t> members, const PartitionOptions& options,
                     const Products* products, Runtime* runtime, const std::function<bool()>& stop, Neighbours* out);

}  // namespace gyr::index
