// Where rows live: blocks of a few sizes, cut out of large chunks that ask for huge pages. A block freed serves the
// next row of its size; chunks go back when the arena does. Memory taken stays within 2 % of what blocks need, once
// there are more than a few megabytes of them.
//
// A block is named by a ref: 48 bits of address, the size's number in 8, and 8 that are nothing to the arena (marks).
// Writers use one of kStripes locks each.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory_resource>
#include <mutex>

namespace gyr {

class RowArena {
 public:
  static constexpr uint32_t kStripes = 16;

  // block_bytes: the size of every block, or 0 for blocks of any size.
  RowArena(std::pmr::memory_resource* memory, uint64_t block_bytes);
  ~RowArena();  // frees the chunks; blocks larger than kLargest must be free by then
  RowArena(const RowArena&) = delete;
  RowArena& operator=(const RowArena&) = delete;

  static uint8_t* block(uint64_t ref) { return reinterpret_cast<uint8_t*>(ref & ((uint64_t(1) << 48) - 1)); }
  // At least `bytes` long, aligned to 64 bytes where its size is a multiple of that, else to 16. Throws bad_alloc.
  uint64_t allocate(uint32_t stripe, uint64_t bytes);
  void free(uint32_t stripe, uint64_t ref) noexcept;
  uint64_t block_bytes(uint64_t ref) const;
  static bool is_large(uint64_t ref) { return size_number(ref) == kLarge; }
  static constexpr uint32_t kMarkShift = 56;
  static uint8_t mark(uint64_t ref) { return uint8_t(ref >> kMarkShift); }

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // taken from the memory resource

  static constexpr uint64_t kLargest = 65536;
  // What a block of `bytes` takes in an arena of any sizes; spread: as the mean of many sizes around it.
  static uint64_t block_bytes_of(uint64_t bytes, bool spread);

 private:
  static constexpr uint32_t kClasses = 70, kLarge = kClasses;
  struct Free {
    Free* next;
  };
  struct Blocks {
    Free* free = nullptr;
    uint8_t *run = nullptr, *run_end = nullptr;  // not used yet
  };
  struct alignas(64) Stripe {
    std::mutex mutex;
    Blocks blocks[kClasses];
  };
  struct Chunk {
    Chunk* next;
    uint64_t bytes, align;
  };

  static uint32_t size_class(uint64_t bytes);
  static uint64_t class_size(uint32_t c);
  uint32_t class_of(uint64_t bytes) const { return fixed_ ? 0 : size_class(bytes); }
  uint64_t class_bytes(uint32_t c) const { return fixed_ ? fixed_ : class_size(c); }
  static uint32_t size_number(uint64_t ref) { return uint32_t(ref >> 48) & 0xff; }
  uint8_t* take(Blocks* blocks, uint64_t size);
  void cut_run(Blocks* blocks, uint64_t size);
  void add_chunk(uint64_t need);
  uint64_t allocate_large(uint64_t bytes);

  std::pmr::memory_resource* const memory_;
  const uint64_t fixed_;
  const uint64_t first_block_;  // where blocks begin in a chunk: those of 2^n bytes cross no page
  std::mutex mutex_;            // of what follows; taken inside a stripe's
  Chunk* chunks_ = nullptr;
  uint8_t *at_ = nullptr, *end_ = nullptr;  // of the newest chunk
  std::atomic<uint64_t> bytes_{0};
  Stripe stripes_[kStripes];
};

}  // namespace gyr
