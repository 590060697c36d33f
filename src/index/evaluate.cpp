// Recall measured against exact search, and the effort that a wanted recall takes.
#include <algorithm>

#include "base/clock.h"
#include "index/vector_index.h"

namespace gyr::index {
namespace {

constexpr uint64_t kSample = 1000, kAtOnce = 64;

}  // namespace

// Queries with their true neighbours.
class Examination {
 public:
  Examination(const VectorIndex& index, const Index::Trial& trial, gyr_task* task)
      : index_(index),
        trial_(trial),
        task_(task),
        own_(memory<int64_t>()),
        sampled_(memory<float>()),
        ids_(memory<int64_t>()),
        truth_(memory<int64_t>()),
        scores_(memory<float>()),
        bars_(memory<float>()),
        counts_(memory<uint32_t>()),
        true_counts_(memory<uint32_t>()) {}

  Status prepare();
  Status measure(uint32_t effort, Index::Point* out);
  uint64_t vectors() const {
    Gate::Reader reader(index_.gate_);
    return index_.store_.slots();
  }

 private:
  template <class T>
  Aligned<T> memory() const {
    return Aligned<T>(index_.runtime_->memory());
  }
  Status sample();
  Status search(uint64_t begin, uint64_t n, Index::Query q);
  // Takes query i's own vector out of what was found for it, or the last one too many; says how many are left.
  uint32_t without_itself(uint64_t i);
  uint64_t hits(uint64_t i, uint32_t found) const;

  const VectorIndex& index_;
  Index::Trial trial_;
  gyr_task* task_;
  uint32_t width_ = 0;          // k, and one more for the vector itself
  Array<int64_t> own_;          // [n] ids of the queries; none when they are the caller's
  Array<float> sampled_;        // [n, dim]
  Array<int64_t> ids_, truth_;  // [n, width]
  Array<float> scores_, bars_;  // [n, width]; [n] the k-th true score
  Array<uint32_t> counts_, true_counts_;
  uint64_t wanted_ = 0;
};

Status Examination::sample() {
  Gate::Reader reader(index_.gate_);
  const Store& store = index_.store_;
  const auto* selection = static_cast<const SlotSelection*>(trial_.selection);
  Allowed allowed{&store};
  if (selection) allowed.narrow({selection->words(), selection->slots()});
  const uint64_t all = allowed.count(), n = std::min(all, trial_.n ? trial_.n : kSample);
  own_.reserve(n);
  sampled_.reserve(n * store.dim);
  Blocks blocks(allowed, {});
  uint32_t at[kBlock];
  Array<float> scratch(store.stride, 0, Aligned<float>(index_.runtime_->memory()));
  for (uint64_t seen = 0; own_.size() < n;) {
    const uint32_t many = blocks.next(at, kBlock);
    for (uint32_t i = 0; i < many; i++, seen++) {
      if (own_.size() == n || seen < own_.size() * all / n) continue;  // evenly spread
      own_.push_back(store.ids[at[i]]);
      const float* row = store.read(at[i], scratch.data());
      sampled_.insert(sampled_.end(), row, row + store.dim);
    }
  }
  trial_.n = n;
  trial_.queries = sampled_.data();
  return {};
}

Status Examination::search(uint64_t begin, uint64_t n, Index::Query q) {
  q.queries = trial_.queries + begin * index_.store_.dim;
  q.n = n;
  q.k = width_;
  q.selection = trial_.selection;
  const uint64_t at = begin * width_;
  return index_.search(q, nullptr, task_, ids_.data() + at, scores_.data() + at, counts_.data() + begin);
}

uint32_t Examination::without_itself(uint64_t i) {
  int64_t* ids = ids_.data() + i * width_;
  float* scores = scores_.data() + i * width_;
  if (own_.empty()) return counts_[i];
  const auto itself = std::find(ids, ids + counts_[i], own_[i]) - ids;
  if (itself == counts_[i]) return std::min(counts_[i], trial_.k);
  std::copy(ids + itself + 1, ids + counts_[i], ids + itself);
  std::copy(scores + itself + 1, scores + counts_[i], scores + itself);
  return counts_[i] - 1;
}

Status Examination::prepare() {
  if (!trial_.queries) GYR_TRY(sample());
  width_ = trial_.k + (own_.empty() ? 0 : 1);
  const uint64_t n = trial_.n;
  ids_.resize(n * width_);
  scores_.resize(n * width_);
  bars_.resize(n);
  counts_.resize(n);
  set_phase(task_, "exact search", n);
  for (uint64_t at = 0; at < n; at += kAtOnce) {
    const uint64_t part = std::min(kAtOnce, n - at);
    Index::Query q{};
    q.exact = true;
    GYR_TRY(search(at, part, q));
    advance(task_, part);
  }
  truth_.resize(n * width_);
  true_counts_.resize(n);
  for (uint64_t i = 0; i < n; i++) {
    const uint32_t found = true_counts_[i] = without_itself(i);
    auto true_ids = truth_.begin() + ptrdiff_t(i * width_);
    std::copy_n(ids_.begin() + ptrdiff_t(i * width_), found, true_ids);
    std::sort(true_ids, true_ids + found);
    bars_[i] = found ? scores_[i * width_ + found - 1] : 0;
    wanted_ += found;
  }
  if (wanted_ == 0)
    return fail(GYR_E_INVALID_STATE, "index", "there is nothing to find: no vector, or none beside the queries' own");
  return {};
}

// What scores as high as the last true neighbour is as good as one.
uint64_t Examination::hits(uint64_t i, uint32_t found) const {
  const auto true_ids = truth_.begin() + ptrdiff_t(i * width_);
  uint64_t n = 0;
  for (uint32_t j = 0; j < std::min(found, true_counts_[i]); j++) {
    const uint64_t at = i * width_ + j;
    n += scores_[at] >= bars_[i] || std::binary_search(true_ids, true_ids + true_counts_[i], ids_[at]);
  }
  return n;
}

Status Examination::measure(uint32_t effort, Index::Point* out) {
  Index::Touched touched;
  Index::Query q{};
  q.effort = effort;
  q.touched = &touched;
  const int64_t start = monotonic_ns();
  GYR_TRY(search(0, trial_.n, q));
  const double seconds = double(monotonic_ns() - start) * 1e-9, n = double(trial_.n);
  uint64_t found = 0;
  for (uint64_t i = 0; i < trial_.n; i++) found += hits(i, without_itself(i));
  const Store& store = index_.store_;
  Gate::Reader reader(index_.gate_);  // the size of a code may change
  *out = {effort ? effort : uint32_t(index_.default_effort(width_)),
          double(found) / double(wanted_),
          seconds / n,
          double(touched.codes) / n,
          double(touched.rows) / n,
          (double(touched.codes) * double(index_.code_bytes()) + double(touched.rows) * 4.0 * store.dim) / n};
  advance(task_, 1);
  return {};
}

Status VectorIndex::evaluate(const Trial& trial, std::span<const uint32_t> efforts, gyr_task* task, Point* out) const {
  Examination examination(*this, trial, task);
  GYR_TRY(examination.prepare());
  set_phase(task, "efforts", efforts.size());
  Array<Point> points(efforts.size(), Point{}, Aligned<Point>(runtime_->memory()));
  for (size_t i = 0; i < efforts.size(); i++) GYR_TRY(examination.measure(efforts[i], &points[i]));
  std::copy(points.begin(), points.end(), out);
  return {};
}

// Doubles the effort until it is enough, then halves the step between one that is and one that is not.
Status VectorIndex::tune(const Trial& trial, double wanted, bool keep, gyr_task* task, Point* out) {
  Examination examination(*this, trial, task);
  GYR_TRY(examination.prepare());
  set_phase(task, "efforts", 0);
  Point best{}, tried{};
  uint32_t low = 0;
  for (uint64_t effort = std::max(1u, trial.k / 8);; effort *= 2) {
    GYR_TRY(examination.measure(uint32_t(std::min<uint64_t>(effort, kMostEffort)), &best));
    if (best.recall >= wanted) break;
    if (effort >= std::min<uint64_t>(kMostEffort, examination.vectors()))
      return fail(GYR_E_OUT_OF_RANGE, "index",
                  "a recall of %g is out of reach: effort %u finds %.4f; ask for less, or build with a larger degree "
                  "or build_effort",
                  wanted, best.effort, best.recall);
    low = best.effort;
  }
  while (low && best.effort - low > std::max(1u, low / 16)) {
    const uint32_t middle = low + (best.effort - low) / 2;
    GYR_TRY(examination.measure(middle, &tried));
    if (tried.recall >= wanted)
      best = tried;
    else
      low = middle;
  }
  if (keep) tuned_ = uint64_t(trial.k) << 32 | best.effort;
  *out = best;
  return {};
}

// Finding more takes a longer walk: efforts found for k from 10 to 300 lie within a fifth of a line through k = -20.
uint64_t VectorIndex::default_effort(uint32_t k) const {
  const uint64_t tuned = tuned_.load(std::memory_order_relaxed);
  if (tuned == 0) return std::max<uint64_t>(2 * uint64_t(k), 64);
  const uint64_t tuned_k = tuned >> 32, effort = uint32_t(tuned);
  return k <= tuned_k ? effort : effort * (k + 20) / (tuned_k + 20);
}

}  // namespace gyr::index
