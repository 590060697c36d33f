#include "common.h"

#ifdef HAVE_NVHASHMAP
#include <nvhashmap/map.hpp>

#include <nvhashmap/experimental/prefetch.hpp>

#include <algorithm>
#include <mutex>
#include <shared_mutex>

namespace compare {
namespace {

// The host table of NVIDIA's nv-embedding-cache at its defaults, rebuilt on its map: one partition behind a
// shared_mutex, rows inside the map, no eviction data, keys taken in words of 64 (one bit each says found) through a
// queue that prefetches 8 of them, and every row copied when the next one has been prefetched. Its thread pool, which
// one batch of 1000 keys does not spread over, is left out.
class Nve final : public RowPeer {
  using Map = nvhm::map<int64_t, void, char, nvhm::default_kernel_t, nvhm::default_seq_t, false, false>;
  using Queue = nvhm::experimental::ring_prefetch_queue<int64_t, Map::prefetch_type, 8>;
  static constexpr size_t kWord = 64, kLine = 64, kAlignment = 16, kPrefetched = 8 * kLine;

  struct Copy {
    const char* from = nullptr;
    char* to = nullptr;
  };

 public:
  explicit Nve(const RowSet& rows) : row_(rows.dim * sizeof(float)), map_(rows.n, row_, kAlignment) {
    std::vector<float> row(rows.dim);
    for (uint64_t i = 0; i < rows.n; i++) {
      rows.fill(i, row.data());
      map_.set_raw_values_at(map_.upsert(RowSet::key(i)), reinterpret_cast<const char*>(row.data()), row_);
    }
  }

  void gather(const int64_t* keys, size_t n, float* out) override {
    std::shared_lock lock(mutex_);
    Copy pending;
    size_t found = 0;
    for (size_t i = 0; i < n; i += kWord) {
      char* to = reinterpret_cast<char*>(out) + i * row_;
      found += size_t(__builtin_popcountll(word(keys + i, std::min(kWord, n - i), to, pending)));
    }
    copy(pending);
    if (found != n) std::abort();
  }

 private:
  // At most 64 keys: the bits of those found. Leaves the last row to copy in pending.
  uint64_t word(const int64_t* keys, size_t n, char* out, Copy& pending) const {
    Queue queue;
    uint64_t found = 0;
    size_t asked = 0, answered = 0;
    auto answer = [&] {
      size_t at = answered++;
      auto place = queue.pop_and_lookup(map_);
      if (place == nvhm::npos) return;
      Copy next{map_.raw_values_at(place), out + at * row_};
      for (size_t b = 0; b < std::min(row_, kPrefetched); b += kLine) {
        __builtin_prefetch(next.from + b, 0, 3);
        __builtin_prefetch(next.to + b, 1, 3);
      }
      copy(pending);
      pending = next;
      found |= uint64_t(1) << at;
    };
    while (asked < n) {
      if (queue.full()) answer();
      queue.prepare_lookup(map_, keys[asked++], false);
    }
    while (answered < n) answer();
    return found;
  }

  void copy(const Copy& c) const {
    if (c.from) nvhm::fast_copy(c.to, c.from, row_);
  }

  const size_t row_;  // bytes
  Map map_;
  std::shared_mutex mutex_;
};

}  // namespace

std::unique_ptr<RowPeer> make_nve(const RowSet& rows) { return std::make_unique<Nve>(rows); }

}  // namespace compare
#else
namespace compare {
std::unique_ptr<RowPeer> make_nve(const RowSet&) {
  say("peer nve is not there: configure with -DGYR_NVHASHMAP=FOLDER, a configured checkout of "
      "github.com/NVIDIA/nvhashmap (docs/dependencies.md); skipped");
  return nullptr;
}
}  // namespace compare
#endif
