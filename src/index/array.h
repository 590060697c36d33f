// Arrays in the runtime's memory, or in that of a mapped file.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory_resource>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "exec/huge_pages.h"

namespace gyr::index {

// Where an array's memory comes from: 64-byte aligned, in huge pages when it is large.
template <class T>
struct Aligned {
  std::pmr::memory_resource* memory;
  explicit Aligned(std::pmr::memory_resource* m) : memory(m) {}
  template <class U>
  Aligned(const Aligned<U>& other) : memory(other.memory) {}  // NOLINT(google-explicit-constructor)
  T* allocate(size_t n) const {
    if (n > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
    void* p = memory->allocate(n * sizeof(T), huge_align(n * sizeof(T), 64));
    advise_huge(p, n * sizeof(T));
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t n) const { memory->deallocate(p, n * sizeof(T), huge_align(n * sizeof(T), 64)); }
};

// As std::vector, but for elements that are bytes, and with adopt().
template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  using value_type = T;
  explicit Array(Aligned<T> memory) : memory_(memory) {}
  Array(size_t n, const T& value, Aligned<T> memory) : memory_(memory) { resize(n, value); }
  template <std::forward_iterator I>
  Array(I first, I last, Aligned<T> memory) : memory_(memory) {
    assign(first, last);
  }
  Array(const Array& other) : memory_(other.memory_) { assign(other.begin(), other.end()); }
  Array(Array&& other) noexcept : memory_(other.memory_) { swap(other); }
  Array& operator=(const Array& other) {
    if (this != &other) assign(other.begin(), other.end());
    return *this;
  }
  Array& operator=(Array&& other) noexcept {
    Array taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Array() { free(); }

  // Elements that lie in memory of somebody else, who keeps it until this array is gone or has grown: it is not freed,
  // and written to only by those who may.
  static Array adopt(std::span<T> elements, Aligned<T> memory) {
    Array a(memory);
    a.data_ = elements.data(), a.size_ = a.capacity_ = elements.size();
    a.adopted_ = true;
    return a;
  }

  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  bool adopted() const { return adopted_; }
  Aligned<T> get_allocator() const { return memory_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T* begin() { return data_; }
  const T* begin() const { return data_; }
  T* end() { return data_ + size_; }
  const T* end() const { return data_ + size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& front() { return data_[0]; }
  const T& front() const { return data_[0]; }
  T& back() { return data_[size_ - 1]; }
  const T& back() const { return data_[size_ - 1]; }

  void reserve(size_t n) {
    if (n > capacity_) move_to(n);
  }
  void shrink_to_fit() {
    if (size_ < capacity_ && !adopted_) move_to(size_);
  }
  void resize(size_t n) { resize(n, T()); }
  void resize(size_t n, const T& value) {
    const T copy = value;  // it may be one of ours
    grow(n);
    if (n > size_) std::fill(data_ + size_, data_ + n, copy);
    size_ = n;
  }
  void assign(size_t n, const T& value) {
    const T copy = value;
    size_ = 0;
    resize(n, copy);
  }
  template <std::forward_iterator I>
  void assign(I first, I last) {  // not of our own elements
    size_ = 0;
    insert(end(), first, last);
  }
  void clear() { size_ = 0; }
  void push_back(const T& value) { emplace_back(value); }
  template <class... Args>
  T& emplace_back(Args&&... args) {
    const T value{std::forward<Args>(args)...};
    grow(size_ + 1);
    return *std::construct_at(data_ + size_++, value);
  }
  void pop_back() { size_--; }
  template <std::forward_iterator I>
  T* insert(const T* at, I first, I last) {  // not of our own elements
    const size_t i = size_t(at - data_), n = size_t(std::distance(first, last));
    grow(size_ + n);
    if (i < size_) std::memmove(static_cast<void*>(data_ + i + n), data_ + i, (size_ - i) * sizeof(T));
    std::copy(first, last, data_ + i);
    size_ += n;
    return data_ + i;
  }
  T* erase(const T* first, const T* last) {
    std::copy(last, static_cast<const T*>(end()), data_ + (first - data_));
    size_ -= size_t(last - first);
    return data_ + (first - data_);
  }
  T* erase(const T* at) { return erase(at, at + 1); }
  void swap(Array& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(adopted_, other.adopted_);
  }

 private:
  void grow(size_t n) {
    if (n > capacity_) move_to(std::max(n, capacity_ * 2));
  }
  void move_to(size_t n) {
    T* to = n ? memory_.allocate(n) : nullptr;
    if (size_) std::memcpy(static_cast<void*>(to), data_, size_ * sizeof(T));
    free();
    data_ = to, capacity_ = n, adopted_ = false;
  }
  void free() {
    if (data_ && !adopted_) memory_.deallocate(data_, capacity_);
  }

  Aligned<T> memory_;
  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
  bool adopted_ = false;
};

template <class T, class Unwanted>
void erase_if(Array<T>& a, const Unwanted& unwanted) {
  a.erase(std::remove_if(a.begin(), a.end(), unwanted), a.end());
}
template <class T>
bool operator==(const Array<T>& a, const Array<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// use(slot) of every bit that is set.
template <class Words, class Use>
void each_bit(const Words& words, const Use& use) {
  for (uint64_t w = 0; w < words.size(); w++)
    for (uint64_t bits = words[w]; bits; bits &= bits - 1) use(uint32_t(w * 64) + uint32_t(std::countr_zero(bits)));
}

}  // namespace gyr::index
