// k-means in two levels: some sqrt(k) groups of centres, and the centres of each. Training and looking the nearest
// centre up cost some sqrt(k) instead of k products, which is what lets an index of a million vectors build in seconds.
// Deterministic: the result depends on the points and the seed alone.
#pragma once

#include <span>

#include "exec/runtime.h"
#include "exec/task.h"
#include "index/array.h"
#include "kernels/kernels.h"

namespace gyr::index {

// Points are [n, dim] back to back.
struct Points {
  const float* at;
  uint64_t n;
};

// Centres that a batch of points is compared with by one product.
class CentreBlock {
 public:
  explicit CentreBlock(std::pmr::memory_resource* m) : packed_(Aligned<float>(m)), bias_(Aligned<float>(m)) {}
  void set(const float* centres, uint32_t n, uint32_t dim);
  // scores[n points, this n]: x c - c c / 2, the larger the nearer.
  void score(const kernels::Ops& ops, const float* points, uint64_t n, float* scores) const;
  uint32_t size() const { return uint32_t(bias_.size()); }
  uint64_t bytes() const { return (packed_.capacity() + bias_.capacity()) * 4; }

 private:
  uint32_t dim_ = 0;
  Array<float> packed_, bias_;
};

class Centres {
 public:
  Centres(std::pmr::memory_resource* memory, uint32_t dim, const kernels::Ops* ops)
      : memory_(memory),
        dim_(dim),
        ops_(ops),
        values_(Aligned<float>(memory)),
        starts_(Aligned<uint32_t>(memory)),
        groups_(memory) {}

  // About `wanted` centres, fewer where there are fewer different points. Fails only when the task says so.
  Status train(Runtime* runtime, Points points, uint32_t wanted, uint64_t seed, gyr_task* task);
  // Centres as they were trained, for a file. starts: where each group begins, and the end.
  void set(std::span<const float> values, std::span<const uint32_t> starts);
  // The centre near each point: the nearest one of the groups that are nearest to it. Parallel.
  void nearest(Runtime* runtime, Points points, uint32_t* out) const;

  uint32_t size() const { return starts_.empty() ? 0 : starts_.back(); }
  std::span<const float> values() const { return values_; }
  std::span<const uint32_t> starts() const { return starts_; }
  uint64_t bytes() const;
  // About, of so many centres; and what training takes besides.
  static uint64_t bytes_of(uint32_t centres, uint32_t dim);
  static uint64_t nearest_memory(uint64_t points, uint32_t dim, uint32_t threads);
  static uint64_t training_memory(uint64_t points, uint32_t centres, uint32_t dim, uint32_t threads);

 private:
  Status polish(Runtime* runtime, Points points, uint64_t seed, gyr_task* task);
  void find(Points points, uint32_t* out) const;
  void pack();
  std::pmr::memory_resource* memory_;
  uint32_t dim_;
  const kernels::Ops* ops_;
  Array<float> values_;  // [size, dim], group by group
  Array<uint32_t> starts_;
  CentreBlock groups_;  // the groups' means
  std::vector<CentreBlock> members_;
};

}  // namespace gyr::index
