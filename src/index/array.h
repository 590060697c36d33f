// Arrays in the runtime's memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <vector>

#include "exec/huge_pages.h"

namespace gyr::index {

// Bulk memory of the runtime, 64-byte aligned.
template <class T>
struct Aligned {
  using value_type = T;
  std::pmr::memory_resource* memory;
  explicit Aligned(std::pmr::memory_resource* m) : memory(m) {}
  template <class U>
  Aligned(const Aligned<U>& other) : memory(other.memory) {}  // NOLINT(google-explicit-constructor)
  T* allocate(size_t n) {
    if (n > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
    void* p = memory->allocate(n * sizeof(T), huge_align(n * sizeof(T), 64));
    advise_huge(p, n * sizeof(T));
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t n) { memory->deallocate(p, n * sizeof(T), huge_align(n * sizeof(T), 64)); }
  bool operator==(const Aligned& other) const { return memory == other.memory; }
};
template <class T>
using Array = std::vector<T, Aligned<T>>;

}  // namespace gyr::index
