#include "common.h"

#ifdef HAVE_ABSL
#include <absl/container/flat_hash_map.h>

#include <cstring>

namespace compare {
namespace {

// The plain loop of a service: look the key up, copy the row.
class Absl final : public RowPeer {
 public:
  Absl(const RowSet& rows, const float* array) : dim_(rows.dim), array_(array) {
    map_.reserve(rows.n);
    for (uint64_t i = 0; i < rows.n; i++) map_.emplace(RowSet::key(i), uint32_t(i));
  }
  void gather(const int64_t* keys, size_t n, float* out) override {
    for (size_t i = 0; i < n; i++) {
      auto it = map_.find(keys[i]);
      if (it == map_.end()) std::abort();
      std::memcpy(out + i * dim_, array_ + size_t(it->second) * dim_, dim_ * sizeof(float));
    }
  }

 private:
  const uint32_t dim_;
  const float* const array_;
  absl::flat_hash_map<int64_t, uint32_t> map_;
};

}  // namespace

std::unique_ptr<RowPeer> make_absl(const RowSet& rows, const float* array) {
  return std::make_unique<Absl>(rows, array);
}

}  // namespace compare
#else
namespace compare {
std::unique_ptr<RowPeer> make_absl(const RowSet&, const float*) {
  say("peer absl is not there: install libabsl-dev and configure again; skipped");
  return nullptr;
}
}  // namespace compare
#endif
