#include "store/arena.h"

#include <algorithm>
#include <bit>
#include <new>

#include "base/error.h"
#include "base/knobs.h"
#include "base/math.h"
#include "exec/huge_pages.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define GYR_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define GYR_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define GYR_POISON(p, n) ((void)0)
#define GYR_UNPOISON(p, n) ((void)0)
#endif

namespace gyr {
namespace {

constexpr uint64_t kPage = 4096, kLine = 64;
constexpr uint64_t kSmallestChunk = 4096;
constexpr uint64_t kSpareShare = 64;  // a chunk is this part of what there is already
constexpr uint64_t kRunShare = 2048, kLongestRun = 65536;

}  // namespace

RowArena::RowArena(std::pmr::memory_resource* memory, uint64_t block_bytes)
    : memory_(memory),
      fixed_(align_up(block_bytes, block_bytes <= 8 ? 8 : 16)),
      first_block_(std::clamp(fixed_ & -fixed_, kLine, kPage)) {}

RowArena::~RowArena() {
  while (Chunk* chunk = chunks_) {
    chunks_ = chunk->next;
    uint64_t bytes = chunk->bytes, align = chunk->align;
    GYR_UNPOISON(chunk, bytes);
    memory_->deallocate(chunk, bytes, align);
  }
}

// Steps of 16 bytes to 128, of 64 to 1024, then 8 per doubling: what is rounded up stays below an eighth from 512 on.
uint32_t RowArena::size_class(uint64_t bytes) {
  if (bytes <= 128) return uint32_t((std::max<uint64_t>(bytes, 1) + 15) / 16 - 1);
  if (bytes <= 1024) return uint32_t(8 + (bytes - 128 + 63) / 64 - 1);
  uint32_t log2 = uint32_t(std::bit_width(bytes - 1)) - 1;  // 2^log2 < bytes <= 2^(log2+1)
  uint64_t step = uint64_t(1) << (log2 - 3);
  return uint32_t(22 + (log2 - 10) * 8 + (bytes - (uint64_t(1) << log2) + step - 1) / step - 1);
}

uint64_t RowArena::class_size(uint32_t c) {
  if (c < 8) return (c + 1) * 16;
  if (c < 22) return 128 + (c - 7) * 64;
  uint32_t log2 = 10 + (c - 22) / 8;
  return (uint64_t(1) << log2) + ((c - 22) % 8 + 1) * (uint64_t(1) << (log2 - 3));
}

uint64_t RowArena::block_bytes(uint64_t ref) const {
  if (is_large(ref)) return *reinterpret_cast<const uint64_t*>(block(ref) - kLine);
  return class_bytes(size_number(ref));
}

uint64_t RowArena::block_bytes_of(uint64_t bytes, bool spread) {
  if (bytes > kLargest) return align_up(bytes, kLine) + kLine;
  uint32_t c = size_class(bytes);
  if (!spread) return class_size(c);
  return bytes + (class_size(c) - (c ? class_size(c - 1) : 0)) / 2;
}

uint8_t* RowArena::take(Blocks* blocks, uint64_t size) {
  if (blocks->free) {
    auto* p = reinterpret_cast<uint8_t*>(blocks->free);
    blocks->free = blocks->free->next;
    GYR_UNPOISON(p, size);
    return p;
  }
  if (blocks->run == blocks->run_end) return nullptr;
  uint8_t* p = blocks->run;
  blocks->run += size;
  GYR_UNPOISON(p, size);
  return p;
}

uint64_t RowArena::allocate(uint32_t stripe, uint64_t bytes) {
  if (!fixed_ && bytes > kLargest) return allocate_large(bytes);
  uint32_t c = class_of(bytes);
  uint64_t size = class_bytes(c);
  Stripe& mine = stripes_[stripe % kStripes];
  uint8_t* p = nullptr;
  try {
    std::lock_guard lock(mine.mutex);
    p = take(&mine.blocks[c], size);
    if (!p) {
      cut_run(&mine.blocks[c], size);
      p = take(&mine.blocks[c], size);
    }
  } catch (const std::bad_alloc&) {  // other writers may have blocks to spare
    for (auto& other : stripes_) {
      std::lock_guard lock(other.mutex);
      if ((p = take(&other.blocks[c], size))) break;
    }
    if (!p) throw;
  }
  return uint64_t(c) << 48 | reinterpret_cast<uintptr_t>(p);
}

uint64_t RowArena::allocate_large(uint64_t bytes) {
  uint64_t size = align_up(bytes, kLine) + kLine;
  auto* p = static_cast<uint8_t*>(memory_->allocate(size, kLine));
  if (reinterpret_cast<uintptr_t>(p) >> 48) {  // only a host allocator with exotic addresses gets here
    memory_->deallocate(p, size, kLine);
    throw std::bad_alloc();
  }
  *reinterpret_cast<uint64_t*>(p) = size - kLine;
  bytes_.fetch_add(size, std::memory_order_relaxed);
  return uint64_t(kLarge) << 48 | reinterpret_cast<uintptr_t>(p + kLine);
}

void RowArena::free(uint32_t stripe, uint64_t ref) noexcept {
  uint64_t size = block_bytes(ref);
  uint8_t* p = block(ref);
  if (is_large(ref)) {
    bytes_.fetch_sub(size + kLine, std::memory_order_relaxed);
    return memory_->deallocate(p - kLine, size + kLine, kLine);
  }
  Stripe& mine = stripes_[stripe % kStripes];
  std::lock_guard lock(mine.mutex);
  Blocks& blocks = mine.blocks[size_number(ref)];
  auto* free = new (p) Free{blocks.free};
  blocks.free = free;
  GYR_POISON(p + sizeof(Free), size - sizeof(Free));
}

// A stretch of blocks for one stripe, so that stripes rarely meet here.
void RowArena::cut_run(Blocks* blocks, uint64_t size) {
  std::lock_guard lock(mutex_);
  uint64_t most = std::clamp<uint64_t>(bytes() / kRunShare / size, 1, std::max<uint64_t>(kLongestRun / size, 1));
  most = knobs::capacity(most);
  if (uint64_t(end_ - at_) < size) add_chunk(size);
  uint64_t n = std::min<uint64_t>(most, uint64_t(end_ - at_) / size);
  blocks->run = at_;
  blocks->run_end = at_ + n * size;
  // What is cut next starts on a cache line.
  at_ = std::min(end_, at_ + align_up(n * size, kLine));
}

void RowArena::add_chunk(uint64_t need) {
  const uint64_t smallest = need + first_block_;
  uint64_t want = std::max({smallest, knobs::capacity(kSmallestChunk), bytes() / kSpareShare});
  if (bytes() >= 8 * kHugePage) want = align_up(want, kHugePage);
  for (;;) {
    uint64_t align = want % kHugePage == 0 ? kHugePage : kLine;
    void* p;
    try {
      p = memory_->allocate(want, align);
    } catch (const std::bad_alloc&) {  // near the budget: less will do
      if (want == smallest) throw;
      want = std::max(smallest, want / 4);
      continue;
    }
    if ((reinterpret_cast<uintptr_t>(p) + want) >> 48) {
      memory_->deallocate(p, want, align);
      throw std::bad_alloc();
    }
    advise_huge(p, want);
    chunks_ = new (p) Chunk{chunks_, want, align};
    at_ = static_cast<uint8_t*>(p) + first_block_;
    end_ = static_cast<uint8_t*>(p) + want;
    GYR_POISON(at_, uint64_t(end_ - at_));
    bytes_.fetch_add(want, std::memory_order_relaxed);
    return;
  }
}

}  // namespace gyr
