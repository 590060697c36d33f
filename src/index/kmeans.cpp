#include "index/kmeans.h"

#include <cmath>
#include <exception>
#include <mutex>

#include "base/hash.h"
#include "base/math.h"

namespace gyr::index {
namespace {

constexpr uint64_t kChunk = 1024;    // points scored at a time
constexpr uint32_t kRounds = 10;     // of k-means
constexpr uint32_t kPolish = 3;      // rounds over all centres at once
constexpr uint32_t kNearGroups = 5;  // looked into for a point's nearest centre

// Eight lanes: compilers make vectors of them. No NaN.
uint32_t best_of(const float* scores, uint32_t n) {
  float lane[8];
  std::fill_n(lane, 8, -INFINITY);
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (uint32_t l = 0; l < 8; l++) lane[l] = scores[i + l] > lane[l] ? scores[i + l] : lane[l];
  for (; i < n; i++) lane[0] = std::max(lane[0], scores[i]);
  const float best = *std::max_element(lane, lane + 8);
  for (i = 0; i + 1 < n && scores[i] != best;) i++;
  return i;
}

// Which points belong to each of k: [starts[c], starts[c + 1]) of `order`, ascending.
void sort_by(const uint32_t* member, uint64_t n, uint32_t k, Array<uint32_t>* starts, Array<uint32_t>* order) {
  starts->assign(k + 1, 0);
  order->resize(n);
  for (uint64_t i = 0; i < n; i++) (*starts)[member[i] + 1]++;
  for (uint32_t c = 0; c < k; c++) (*starts)[c + 1] += (*starts)[c];
  for (uint64_t i = 0; i < n; i++) (*order)[(*starts)[member[i]]++] = uint32_t(i);
  for (uint32_t c = k; c > 0; c--) (*starts)[c] = (*starts)[c - 1];
  (*starts)[0] = 0;
}

// One level. centres: room for [k, dim]; member: [n]. Returns how many centres have points.
struct Lloyd {
  const kernels::Ops& ops;
  std::pmr::memory_resource* memory;
  uint32_t dim;
  Runtime* runtime;
  gyr_task* task;

  void assign(Points points, const CentreBlock& block, uint32_t* member) const {
    runtime->parallel_for(div_up(points.n, kChunk), [&](uint64_t chunk) {
      const uint64_t first = chunk * kChunk, n = std::min(kChunk, points.n - first);
      Array<float> scores(n * block.size(), 0, Aligned<float>(memory));
      block.score(ops, points.at + first * dim, n, scores.data());
      for (uint64_t i = 0; i < n; i++) member[first + i] = best_of(scores.data() + i * block.size(), block.size());
    });
  }
  // A mean of points far from the origin loses less in double.
  void move(Points points, const Array<uint32_t>& starts, const Array<uint32_t>& order, float* centres) const {
    runtime->parallel_for(starts.size() - 1, [&](uint64_t c) {
      Array<double> sum(dim, 0, Aligned<double>(memory));
      for (uint32_t i = starts[c]; i < starts[c + 1]; i++)
        for (uint32_t d = 0; d < dim; d++) sum[d] += points.at[uint64_t(order[i]) * dim + d];
      const uint32_t n = starts[c + 1] - starts[c];
      for (uint32_t d = 0; d < dim && n > 0; d++) centres[c * dim + d] = float(sum[d] / n);
    });
  }
  Result<uint32_t> run(Points points, uint32_t k, uint64_t seed, float* centres, uint32_t* member) const {
    for (uint32_t c = 0; c < k; c++) {  // one of every n / k points
      const uint64_t from = c * points.n / k, to = (c + 1) * points.n / k;
      std::copy_n(points.at + (from + mix64(seed + c) % std::max<uint64_t>(to - from, 1)) * dim, dim,
                  centres + uint64_t(c) * dim);
    }
    CentreBlock block(memory);
    Array<uint32_t> starts(Aligned<uint32_t>{memory}), order(Aligned<uint32_t>{memory});
    for (uint32_t round = 0; round < kRounds; round++) {
      GYR_TRY(check(task));
      block.set(centres, k, dim);
      assign(points, block, member);
      sort_by(member, points.n, k, &starts, &order);
      // One that lost all its points takes half of what the largest one has.
      for (uint32_t c = 0; c < k && round + 1 < kRounds; c++) {
        if (starts[c + 1] > starts[c]) continue;
        uint32_t largest = 0;
        for (uint32_t other = 1; other < k; other++)
          if (starts[other + 1] - starts[other] > starts[largest + 1] - starts[largest]) largest = other;
        for (uint32_t i = starts[largest]; i < starts[largest + 1]; i += 2) member[order[i]] = c;
        sort_by(member, points.n, k, &starts, &order);
      }
      move(points, starts, order, centres);
    }
    uint32_t kept = 0;
    for (uint32_t c = 0; c < k; c++) {
      if (starts[c + 1] == starts[c]) continue;
      for (uint32_t i = starts[c]; i < starts[c + 1]; i++) member[order[i]] = kept;
      std::copy_n(centres + uint64_t(c) * dim, dim, centres + uint64_t(kept++) * dim);
    }
    return kept;
  }
};

}  // namespace

void CentreBlock::set(const float* centres, uint32_t n, uint32_t dim) {
  dim_ = dim;
  Array<float> columns(uint64_t(n) * dim, 0, packed_.get_allocator());
  bias_.resize(n);
  for (uint32_t c = 0; c < n; c++) {
    double squared = 0;
    for (uint32_t d = 0; d < dim; d++) {
      const float v = centres[uint64_t(c) * dim + d];
      columns[uint64_t(d) * n + c] = v;
      squared += double(v) * v;
    }
    bias_[c] = float(squared / -2);
  }
  packed_.resize(kernels::packed_size(dim, n));
  kernels::pack_weights(columns.data(), dim, n, packed_.data());
}

void CentreBlock::score(const kernels::Ops& ops, const float* points, uint64_t n, float* scores) const {
  ops.gemm_packed(points, dim_, packed_.data(), bias_.data(), scores, size(), n, dim_, size(),
                  kernels::Activation::kNone);
}

Status Centres::train(Runtime* runtime, Points points, uint32_t wanted, uint64_t seed, gyr_task* task) {
  values_.clear();
  starts_.clear();
  members_.clear();
  const Lloyd lloyd{*ops_, memory_, dim_, runtime, task};
  Array<uint32_t> group(points.n, 0, Aligned<uint32_t>(memory_));
  uint32_t groups = std::max(1u, uint32_t(std::sqrt(double(wanted))));
  Array<float> means(uint64_t(groups) * dim_, 0, Aligned<float>(memory_));
  GYR_ASSIGN(groups, lloyd.run(points, groups, seed, means.data(), group.data()));
  Array<uint32_t> first(Aligned<uint32_t>{memory_}), order(Aligned<uint32_t>{memory_});
  sort_by(group.data(), points.n, groups, &first, &order);

  // A group has the more centres the more points it has, and the more they are apart.
  Array<double> apart(groups, 0, Aligned<double>(memory_));
  runtime->parallel_for(groups, [&](uint64_t g) {
    for (uint32_t i = first[g]; i < first[g + 1]; i++)
      apart[g] += ops_->l2_squared(points.at + uint64_t(order[i]) * dim_, means.data() + g * dim_, dim_);
  });
  double all = 0;
  for (uint32_t g = 0; g < groups; g++) all += apart[g] = std::sqrt(apart[g] * (first[g + 1] - first[g]));
  Array<uint32_t> room(groups + 1, 0, Aligned<uint32_t>(memory_));
  for (uint32_t g = 0; g < groups; g++) {
    const double share = all > 0 ? std::round(wanted * (apart[g] / all)) : 1;
    room[g + 1] = room[g] + std::clamp<uint32_t>(uint32_t(share), 1, first[g + 1] - first[g]);
  }
  Array<float> found(uint64_t(room[groups]) * dim_, 0, Aligned<float>(memory_));
  Array<uint32_t> sizes(groups, 0, Aligned<uint32_t>(memory_));
  std::mutex mutex;
  Status failure;
  runtime->parallel_for(groups, [&](uint64_t g) {
    const uint64_t n = first[g + 1] - first[g];
    Array<float> own(n * dim_, 0, Aligned<float>(memory_));
    Array<uint32_t> member(n, 0, Aligned<uint32_t>(memory_));
    for (uint64_t i = 0; i < n; i++)
      std::copy_n(points.at + uint64_t(order[first[g] + i]) * dim_, dim_, own.data() + i * dim_);
    auto size = lloyd.run({own.data(), n}, room[g + 1] - room[g], mix64(seed + g),
                          found.data() + room[g] * uint64_t(dim_), member.data());
    if (size.ok()) {
      sizes[g] = *size;
      return;
    }
    std::lock_guard lock(mutex);
    failure = check(task);
  });
  GYR_TRY(std::move(failure));
  starts_.assign(1, 0);
  for (uint32_t g = 0; g < groups; g++) {
    const float* own = found.data() + uint64_t(room[g]) * dim_;
    values_.insert(values_.end(), own, own + uint64_t(sizes[g]) * dim_);
    starts_.push_back(starts_.back() + sizes[g]);
  }
  pack();
  return polish(runtime, points, seed, task);
}

// Centres of one group know nothing of the next one's: some rounds over all of them, grouped anew after each.
Status Centres::polish(Runtime* runtime, Points points, uint64_t seed, gyr_task* task) {
  const Lloyd lloyd{*ops_, memory_, dim_, runtime, task};
  Array<uint32_t> member(points.n, 0, Aligned<uint32_t>(memory_)), group(size(), 0, Aligned<uint32_t>(memory_));
  Array<uint32_t> starts(Aligned<uint32_t>{memory_}), order(Aligned<uint32_t>{memory_});
  for (uint32_t round = 0; round < kPolish; round++) {
    nearest(runtime, points, member.data());
    sort_by(member.data(), points.n, size(), &starts, &order);
    lloyd.move(points, starts, order, values_.data());
    uint32_t groups = groups_.size();
    Array<float> means(uint64_t(groups) * dim_, 0, Aligned<float>(memory_));
    GYR_ASSIGN(groups, lloyd.run({values_.data(), size()}, groups, seed, means.data(), group.data()));
    sort_by(group.data(), size(), groups, &starts, &order);
    Array<float> sorted(values_.size(), 0, Aligned<float>(memory_));
    for (uint32_t c = 0; c < size(); c++)
      std::copy_n(values_.data() + uint64_t(order[c]) * dim_, dim_, sorted.data() + uint64_t(c) * dim_);
    values_.swap(sorted);
    starts_.assign(starts.begin(), starts.end());
    pack();
  }
  return {};
}

void Centres::set(std::span<const float> values, std::span<const uint32_t> starts) {
  values_.assign(values.begin(), values.end());
  starts_.assign(starts.begin(), starts.end());
  pack();
}

void Centres::pack() {
  const uint32_t groups = uint32_t(starts_.size() - 1);
  Array<float> means(uint64_t(groups) * dim_, 0, Aligned<float>(memory_));
  members_.clear();
  for (uint32_t g = 0; g < groups; g++) {
    const uint32_t n = starts_[g + 1] - starts_[g];
    const float* own = values_.data() + uint64_t(starts_[g]) * dim_;
    for (uint32_t d = 0; d < dim_; d++) {
      double sum = 0;
      for (uint32_t i = 0; i < n; i++) sum += own[uint64_t(i) * dim_ + d];
      means[uint64_t(g) * dim_ + d] = float(sum / n);
    }
    members_.emplace_back(memory_).set(own, n, dim_);
  }
  groups_.set(means.data(), groups, dim_);
}

void Centres::nearest(Runtime* runtime, Points points, uint32_t* out) const {
  runtime->parallel_for(div_up(points.n, kChunk), [&](uint64_t chunk) {
    const uint64_t first = chunk * kChunk;
    find({points.at + first * dim_, std::min(kChunk, points.n - first)}, out + first);
  });
}

// All points of the chunk that look into a group are compared with it by one product.
void Centres::find(Points points, uint32_t* out) const {
  const uint32_t groups = groups_.size(), near = std::min(kNearGroups, groups);
  uint32_t widest = groups;
  for (const CentreBlock& m : members_) widest = std::max(widest, m.size());
  Array<float> scores(points.n * widest, 0, Aligned<float>(memory_));
  groups_.score(*ops_, points.at, points.n, scores.data());
  Array<uint32_t> wanted(points.n * near, 0, Aligned<uint32_t>(memory_));
  for (uint64_t i = 0; i < points.n; i++) {
    float* row = scores.data() + i * groups;
    for (uint32_t j = 0; j < near; j++) {
      wanted[i * near + j] = best_of(row, groups);
      row[wanted[i * near + j]] = -INFINITY;
    }
  }
  Array<uint32_t> starts(Aligned<uint32_t>{memory_}), order(Aligned<uint32_t>{memory_});
  sort_by(wanted.data(), wanted.size(), groups, &starts, &order);
  Array<float> gathered(points.n * dim_, 0, Aligned<float>(memory_));
  Array<float> best(points.n, -INFINITY, Aligned<float>(memory_));
  std::fill_n(out, points.n, 0);
  for (uint32_t g = 0; g < groups; g++) {
    const uint32_t n = starts[g + 1] - starts[g], size = members_[g].size();
    if (n == 0) continue;
    for (uint32_t i = 0; i < n; i++)
      std::copy_n(points.at + uint64_t(order[starts[g] + i] / near) * dim_, dim_, gathered.data() + uint64_t(i) * dim_);
    members_[g].score(*ops_, gathered.data(), n, scores.data());
    for (uint32_t i = 0; i < n; i++) {
      const uint32_t point = order[starts[g] + i] / near, c = best_of(scores.data() + uint64_t(i) * size, size);
      const float score = scores[uint64_t(i) * size + c];
      if (score <= best[point]) continue;
      best[point] = score;
      out[point] = starts_[g] + c;
    }
  }
}

uint64_t Centres::bytes() const {
  uint64_t all = values_.capacity() * 4 + starts_.capacity() * 4 + groups_.bytes();
  for (const CentreBlock& m : members_) all += m.bytes() + sizeof m;
  return all;
}

uint64_t Centres::bytes_of(uint32_t centres, uint32_t dim) {
  const auto groups = uint64_t(std::max(1.0, std::sqrt(double(centres))));
  const uint64_t packed = kernels::packed_size(dim, groups) + groups * kernels::packed_size(dim, centres / groups);
  return (uint64_t(centres) * (dim + 2) + packed + 2 * groups) * 4 + groups * sizeof(CentreBlock);
}

uint64_t Centres::nearest_memory(uint64_t points, uint32_t dim, uint32_t threads) {
  return std::min<uint64_t>(points, threads * kChunk) * (dim + 8) * 4;
}

// Points by group, a group's own points on each thread, and what a chunk of them is compared with.
uint64_t Centres::training_memory(uint64_t points, uint32_t centres, uint32_t dim, uint32_t threads) {
  const auto groups = uint64_t(std::max(1.0, std::sqrt(double(centres))));
  const uint64_t own = 2 * points / groups * (dim + 2), chunk = kChunk * (dim + 4 * groups);
  return (points * 3 + uint64_t(centres) * dim * 2 + threads * std::max(own, chunk)) * 4;
}

}  // namespace gyr::index
