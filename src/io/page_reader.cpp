#include "io/page_reader.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "io/file_watch.h"

namespace gyr {
namespace {

constexpr uint32_t kDepth = 64;
constexpr size_t kAlign = 4096;

struct FreeBuffer {
  void operator()(uint8_t* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<uint8_t[], FreeBuffer>;

Buffer make_buffer(size_t bytes) {
  auto* p = static_cast<uint8_t*>(std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign));
  if (!p) throw std::bad_alloc();
  return Buffer(p);
}

class PreadReader : public PageReader {
 public:
  explicit PreadReader(uint32_t most_bytes) : buffer_(make_buffer(most_bytes)) {}
  bool uring() const override { return false; }
  void read(const PageRead* reads, size_t n, const std::function<void(size_t, const uint8_t*)>& use) override {
    for (size_t i = 0; i < n; i++) {
      Status s = reads[i].file->read_at(reads[i].offset, {buffer_.get(), reads[i].bytes});
      use(i, s.ok() ? buffer_.get() : nullptr);
    }
  }

 private:
  Buffer buffer_;
};

#ifdef GYR_FAULTS
bool watched_by_tests() { return file_watch != nullptr; }
#else
bool watched_by_tests() { return false; }
#endif

class UringReader final : public PageReader {
 public:
  explicit UringReader(uint32_t most_bytes) : bytes_((most_bytes + kAlign - 1) / kAlign * kAlign), plain_(most_bytes) {
    buffers_ = make_buffer(bytes_ * kDepth);
  }
  ~UringReader() override {
    if (entries_ != MAP_FAILED) munmap(entries_, params_.sq_entries * sizeof(io_uring_sqe));
    if (completed_ != MAP_FAILED) munmap(completed_, completed_bytes_);
    if (submitted_ != MAP_FAILED) munmap(submitted_, submitted_bytes_);
    if (ring_ >= 0) close(ring_);
  }

  bool open() {
    ring_ = int(syscall(SYS_io_uring_setup, kDepth, &params_));
    if (ring_ < 0) return false;
    submitted_bytes_ = params_.sq_off.array + params_.sq_entries * sizeof(uint32_t);
    completed_bytes_ = params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe);
    submitted_ = map(submitted_bytes_, IORING_OFF_SQ_RING);
    completed_ = map(completed_bytes_, IORING_OFF_CQ_RING);
    entries_ = map(params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
    return submitted_ != MAP_FAILED && completed_ != MAP_FAILED && entries_ != MAP_FAILED;
  }
  bool uring() const override { return true; }

  void read(const PageRead* reads, size_t n, const std::function<void(size_t, const uint8_t*)>& use) override {
    if (watched_by_tests() || broken_) return plain_.read(reads, n, use);
    size_t next = 0, flying = 0;
    uint32_t free[kDepth], frees = kDepth;
    size_t of[kDepth];
    for (uint32_t b = 0; b < kDepth; b++) free[b] = b;
    while (next < n || flying > 0) {
      uint32_t fresh = 0;
      for (; next < n && frees > 0; next++, fresh++) {
        uint32_t b = free[--frees];
        of[b] = next;
        submit(reads[next], b);
      }
      flying += fresh;
      if (!enter(fresh)) {  // nothing of this ring can be trusted any more, and its buffers may still be written to
        broken_ = true;
        (void)buffers_.release();
        for (uint32_t b = 0; b < kDepth; b++)
          if (std::find(free, free + frees, b) == free + frees) use(of[b], nullptr);
        for (; next < n; next++) use(next, nullptr);
        return;
      }
      for (io_uring_cqe done; take(&done); flying--) {
        auto b = uint32_t(done.user_data);
        if (done.res == int32_t(reads[of[b]].bytes))
          use(of[b], buffers_.get() + b * bytes_);
        else  // cut short, or a kernel before 5.6, which does not know this operation
          plain_.read(&reads[of[b]], 1, [&](size_t, const uint8_t* data) { use(of[b], data); });
        free[frees++] = b;
      }
    }
  }

 private:
  void* map(size_t bytes, uint64_t what) {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_, off_t(what));
  }
  static std::atomic_ref<uint32_t> number(void* ring, uint32_t offset) {
    return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(ring) + offset));
  }

  void submit(const PageRead& read, uint32_t buffer) {
    auto tail = number(submitted_, params_.sq_off.tail);
    uint32_t at = tail.load(std::memory_order_relaxed), slot = at & (params_.sq_entries - 1);
    io_uring_sqe& e = static_cast<io_uring_sqe*>(entries_)[slot];
    std::memset(&e, 0, sizeof e);
    e.opcode = IORING_OP_READ;
    e.fd = read.file->fd();
    e.off = read.offset;
    e.addr = reinterpret_cast<uint64_t>(buffers_.get() + buffer * bytes_);
    e.len = read.bytes;
    e.user_data = buffer;
    number(submitted_, params_.sq_off.array + slot * uint32_t(sizeof(uint32_t))).store(slot, std::memory_order_relaxed);
    tail.store(at + 1, std::memory_order_release);
  }
  // Hands over what was submitted and waits for one completion at least.
  bool enter(uint32_t fresh) {
    for (;;) {
      long done = syscall(SYS_io_uring_enter, ring_, fresh, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
      if (done >= 0 && uint32_t(done) == fresh) return true;
      if (done >= 0)
        fresh -= uint32_t(done);
      else if (errno != EINTR && errno != EAGAIN && errno != EBUSY)
        return false;
    }
  }
  bool take(io_uring_cqe* out) {
    auto head = number(completed_, params_.cq_off.head);
    uint32_t at = head.load(std::memory_order_relaxed);
    if (at == number(completed_, params_.cq_off.tail).load(std::memory_order_acquire)) return false;
    auto* all = reinterpret_cast<io_uring_cqe*>(static_cast<uint8_t*>(completed_) + params_.cq_off.cqes);
    *out = all[at & (params_.cq_entries - 1)];
    head.store(at + 1, std::memory_order_release);
    return true;
  }

  const size_t bytes_;
  PreadReader plain_;
  Buffer buffers_;
  io_uring_params params_{};
  int ring_ = -1;
  size_t submitted_bytes_ = 0, completed_bytes_ = 0;
  void *submitted_ = MAP_FAILED, *completed_ = MAP_FAILED, *entries_ = MAP_FAILED;
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<PageReader> PageReader::make(uint32_t most_bytes, bool uring) {
  if (uring) {
    auto made = std::make_unique<UringReader>(most_bytes);
    if (made->open()) return made;
  }
  return std::make_unique<PreadReader>(most_bytes);
}

}  // namespace gyr
