// Test arrays whose last value ends right before a page that faults on any access.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>

namespace gyr::kernels {

class Guarded {
 public:
  explicit Guarded(size_t n) : size_(n) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t body = (n * sizeof(float) + page - 1) / page * page;
    bytes_ = body + page;
    base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + body, page, PROT_NONE);
    data_ = reinterpret_cast<float*>(base_ + body) - n;
  }
  Guarded(size_t n, uint32_t seed, float low = -1, float high = 1) : Guarded(n) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> value(low, high);
    for (size_t i = 0; i < n; ++i) data_[i] = value(random);
  }
  Guarded(const Guarded& other) : Guarded(other.size_) {
    for (size_t i = 0; i < size_; ++i) data_[i] = other.data_[i];
  }
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, bytes_); }

  float* data() { return data_; }
  const float* data() const { return data_; }
  float& operator[](size_t i) { return data_[i]; }
  float operator[](size_t i) const { return data_[i]; }
  size_t size() const { return size_; }

 private:
  size_t size_, bytes_;
  char* base_;
  float* data_;
};

}  // namespace gyr::kernels
