// Scratch objects lent to calls: lock-free, and no allocation once as many exist as calls run at once (up to kSlots).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

#include "base/knobs.h"

namespace gyr {

template <class T>
class LeasePool {
 public:
  class Lease {
   public:
    explicit Lease(LeasePool& pool) : pool_(pool), object_(pool.take()) {}
    Lease(Lease&& other) noexcept : pool_(other.pool_), object_(other.object_) { other.object_ = nullptr; }
    ~Lease() {
      if (object_) pool_.put(object_);
    }
    T* operator->() { return object_; }
    T& operator*() { return *object_; }

   private:
    LeasePool& pool_;
    T* object_;
  };
  LeasePool() = default;
  LeasePool(const LeasePool&) = delete;
  LeasePool& operator=(const LeasePool&) = delete;
  ~LeasePool() {
    for (auto& s : slots_) delete s.load(std::memory_order_acquire);
  }
  Lease lend() { return Lease(*this); }

 private:
  static constexpr size_t kSlots = 16;

  T* take() {
    for (size_t i = 0; i < knobs::capacity(kSlots); i++)
      if (slots_[i].load(std::memory_order_relaxed))
        if (T* object = slots_[i].exchange(nullptr, std::memory_order_acquire)) return object;
    return new T;
  }
  void put(T* object) {
    for (size_t i = 0; i < knobs::capacity(kSlots); i++) {
      T* none = nullptr;
      if (slots_[i].compare_exchange_strong(none, object, std::memory_order_release, std::memory_order_relaxed)) return;
    }
    delete object;
  }

  std::array<std::atomic<T*>, kSlots> slots_{};
};

}  // namespace gyr
