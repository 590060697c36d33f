// Bulk memory: counted, limited by the runtime's budget, served by the host's allocator when there is one.
#pragma once

#include <gyr/runtime.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory_resource>
#include <new>

#include "base/error.h"
#include "base/fault.h"

namespace gyr {

// A part of a runtime's memory with a budget of its own.
class Allowance final : public std::pmr::memory_resource {
 public:
  struct Exceeded : BudgetExceeded {};

  // budget 0 = the runtime's is the only one.
  Allowance(std::pmr::memory_resource* from, uint64_t budget) : from_(from), budget_(budget) {}
  // Whether more than the budget may be taken. For a table that nobody else uses yet.
  void go_beyond(bool allowed) { beyond_ = allowed; }

 private:
  void* do_allocate(size_t bytes, size_t align) override {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (budget_ && !beyond_ && (bytes > budget_ || used > budget_ - bytes)) throw Exceeded();
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    try {
      return from_->allocate(bytes, align);
    } catch (...) {
      used_.fetch_sub(bytes, std::memory_order_relaxed);
      throw;
    }
  }
  void do_deallocate(void* p, size_t bytes, size_t align) override {
    from_->deallocate(p, bytes, align);
    used_.fetch_sub(bytes, std::memory_order_relaxed);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::pmr::memory_resource* const from_;
  const uint64_t budget_;
  bool beyond_ = false;
  std::atomic<uint64_t> used_{0};
};

class Memory final : public std::pmr::memory_resource {
 public:
  // budget 0 = unlimited; hook null = operator new.
  Memory(uint64_t budget, const gyr_allocator* hook) : budget_(budget), hook_(hook ? *hook : gyr_allocator{}) {}

  uint64_t budget() const { return budget_; }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  void* do_allocate(size_t bytes, size_t align) override {
    if (alloc_fault()) throw std::bad_alloc();
    reserve(bytes);
    void* p = hook_.alloc ? hook_.alloc(hook_.user, bytes, align)
                          : ::operator new(bytes, std::align_val_t(align), std::nothrow);
    if (p) return p;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    throw std::bad_alloc();
  }

  void do_deallocate(void* p, size_t bytes, size_t align) override {
    if (hook_.alloc)
      hook_.free(hook_.user, p, bytes, align);
    else
      ::operator delete(p, std::align_val_t(align));
    used_.fetch_sub(bytes, std::memory_order_relaxed);
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  // Compare-and-swap rather than add-then-check: a request that is refused must not make others fail meanwhile.
  void reserve(uint64_t bytes) {
    uint64_t used = used_.load(std::memory_order_relaxed), next;
    do {
      if (__builtin_add_overflow(used, bytes, &next)) throw std::bad_alloc();
      if (budget_ && next > budget_) throw BudgetExceeded();
    } while (!used_.compare_exchange_weak(used, next, std::memory_order_relaxed));
    uint64_t peak = peak_.load(std::memory_order_relaxed);
    while (next > peak && !peak_.compare_exchange_weak(peak, next, std::memory_order_relaxed)) {
    }
  }

  const uint64_t budget_;
  const gyr_allocator hook_;
  std::atomic<uint64_t> used_{0}, peak_{0};
};

}  // namespace gyr
