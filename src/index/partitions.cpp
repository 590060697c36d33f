#include "index/partitions.h"

#include <atomic>
#include <cmath>
#include <numeric>

#include "base/math.h"
#include "base/random.h"

namespace gyr::index {
namespace {

constexpr uint32_t kLeaders = 64;          // parts of one split
constexpr uint64_t kAssignedAtOnce = 512;  // slots that a thread assigns between two looks at what is left
constexpr uint64_t kFamily = 4096;         // a part whose parts choose among the same products
constexpr uint64_t kMostAlone = 1 << 16;   // a part that one thread splits on, where there are enough of them
constexpr uint32_t kFamilyProducts = 8192, kFamilySample = 256;

struct Span {
  uint64_t begin = 0, end = 0;
  uint64_t size() const { return end - begin; }
};

// Codes with their slots.
struct Group {
  explicit Group(std::pmr::memory_resource* m) : slots(Aligned<uint32_t>(m)), block(m) {}
  Array<uint32_t> slots;
  CodeBlock block;
};

struct Worker {
  Worker(std::pmr::memory_resource* m, uint32_t number)
      : number(number),
        query(m),
        part(m),
        family(m),
        rivals(m),
        dots(Aligned<int32_t>(m)),
        scores(Aligned<float>(m)),
        at(Aligned<uint32_t>(m)),
        best(Aligned<Candidate>(m)),
        merged(Aligned<Candidate>(m)) {}
  const uint32_t number;
  CodeQuery query;
  Group part, family, rivals;  // compared with each other; products of the family, of the part
  Array<int32_t> dots;
  Array<float> scores;
  Array<uint32_t> at;
  Array<Candidate> best, merged;
};

class Partitions {
 public:
  Partitions(const Codes& codes, std::span<const uint32_t> members, const PartitionOptions& options,
             const Products* products, Runtime* runtime, const std::function<bool()>& stop, Neighbours* out)
      : codes_(codes),
        members_(members),
        options_(options),
        products_(products),
        runtime_(runtime),
        stop_(stop),
        out_(out),
        part_of_(members.size(), 0, Aligned<uint8_t>(runtime->memory())),
        sorted_(members.size(), 0, Aligned<uint32_t>(runtime->memory())),
        longest_(runtime->memory()) {
    for (uint32_t i = 0; i < runtime->concurrency(); i++) {
      Worker& w = workers_.emplace_back(runtime->memory(), i);
      w.best.resize(std::max(options.kept, products ? products->kept : 0));
      w.merged.resize(options.most);
    }
    if (products) gather(products->from, &longest_);
    out->most = options.most;
    out->lists.assign(members.size() * options.most, {-INFINITY, kNone});
    out->order.resize(members.size());
    std::iota(out->order.begin(), out->order.end(), 0);
  }

  void run() {
    for (uint32_t round = 0; round < options_.rounds && !stop_(); round++) {
      last_ = round + 1 == options_.rounds;
      std::vector<Span> large{{0, members_.size()}}, small;
      const uint64_t alone = std::clamp<uint64_t>(members_.size() / 16, kFamily, kMostAlone);
      while (!large.empty() && !stop_()) {
        const Span span = large.back();
        large.pop_back();
        if (span.size() <= alone) {
          small.push_back(span);
          continue;
        }
        Worker& chief = workers_[0];
        lead(round, span, &chief);
        spread(div_up(span.size(), kAssignedAtOnce), [&](uint64_t i, Worker* w) {
          const uint64_t begin = span.begin + i * kAssignedAtOnce;
          assign(chief.part, {begin, std::min(begin + kAssignedAtOnce, span.end)}, w);
        });
        cut(uint32_t(chief.part.slots.size()), span, &large);
      }
      spread(small.size(), [&](uint64_t i, Worker* w) { split(round, small[i], w); });
    }
  }

 private:
  template <class Body>
  void spread(uint64_t n, const Body& body) {
    std::atomic<uint64_t> next{0};
    runtime_->parallel_for(std::min<uint64_t>(workers_.size(), n), [&](uint64_t w) {
      for (uint64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n && !stop_();) body(i, &workers_[w]);
    });
  }

  uint32_t slot_at(uint64_t i) const { return members_[out_->order[i]]; }

  void gather(std::span<const uint32_t> slots, Group* group) {
    group->slots.assign(slots.begin(), slots.end());
    codes_.gather(slots, &group->block);
  }

  // scores[i] = the query's with the group's i-th.
  void score(const Group& group, bool l2, Worker* w) {
    const size_t n = group.slots.size();
    if (w->scores.size() < n) w->scores.resize(n), w->dots.resize(n);
    codes_.score(w->query, l2, group.block, n, w->dots.data(), w->scores.data());
  }

  // Takes the random ones into w->part.
  void lead(uint32_t round, Span span, Worker* w) {
    const uint64_t parts = div_up(span.size(), std::max(options_.part / 2, 1u));
    w->at.resize(std::clamp<uint64_t>(parts, 2, kLeaders));
    Random random(options_.seed + round, span.begin * 31 + span.size());
    for (uint32_t& slot : w->at) slot = slot_at(span.begin + random.below(span.size()));
    gather(w->at, &w->part);
  }

  void assign(const Group& leaders, Span span, Worker* w) {
    const auto n = ptrdiff_t(leaders.slots.size());
    for (uint64_t i = span.begin; i < span.end; i++) {
      codes_.prepare(slot_at(i), &w->query);
      score(leaders, true, w);
      part_of_[i] = uint8_t(std::max_element(w->scores.begin(), w->scores.begin() + n) - w->scores.begin());
    }
  }

  // Sorts the span by part. When nothing was split, because all of it is the same, into halves.
  void cut(uint32_t n, Span span, std::vector<Span>* out) {
    uint64_t starts[kLeaders + 1] = {};
    for (uint64_t i = span.begin; i < span.end; i++) starts[part_of_[i] + 1]++;
    if (*std::max_element(starts, starts + n + 1) == span.size()) {
      const uint64_t middle = span.begin + span.size() / 2;
      out->push_back({span.begin, middle});
      out->push_back({middle, span.end});
      return;
    }
    std::partial_sum(starts, starts + n + 1, starts);
    for (uint32_t p = 0; p < n; p++)
      if (starts[p] < starts[p + 1]) out->push_back({span.begin + starts[p], span.begin + starts[p + 1]});
    for (uint64_t i = span.begin; i < span.end; i++) sorted_[span.begin + starts[part_of_[i]]++] = out_->order[i];
    std::copy(sorted_.begin() + ptrdiff_t(span.begin), sorted_.begin() + ptrdiff_t(span.end),
              out_->order.begin() + ptrdiff_t(span.begin));
  }

  void split(uint32_t round, Span whole, Worker* w) {
    std::vector<Span> left{whole};
    Span family;
    while (!left.empty() && !stop_()) {
      const Span span = left.back();
      left.pop_back();
      if (products_ && last_ && span.size() <= kFamily && !(family.begin <= span.begin && span.end <= family.end)) {
        family = span;
        choose_products(span, w);
      }
      if (span.size() <= options_.part) {
        compare(span, w);
        continue;
      }
      lead(round, span, w);
      assign(w->part, span, w);
      cut(uint32_t(w->part.slots.size()), span, &left);
    }
  }

  void compare(Span span, Worker* w) {
    w->at.resize(span.size());
    for (uint64_t i = 0; i < span.size(); i++) w->at[i] = slot_at(span.begin + i);
    gather(w->at, &w->part);
    for (uint64_t i = 0; i < span.size(); i++) {
      codes_.prepare(w->part.slots[i], &w->query);
      score(w->part, true, w);
      merge(out_->order[span.begin + i], best_of(w->part, w->part.slots[i], options_.kept, w), w);
    }
    if (products_ && last_) compare_products(span, w);
  }

  // The best by w->scores, without `self`, in w->best; says how many they are.
  uint32_t best_of(const Group& group, uint32_t self, uint32_t most, Worker* w) {
    uint32_t kept = 0;
    Candidate* best = w->best.data();
    for (size_t j = 0; j < group.slots.size(); j++) {
      const float score = w->scores[j];
      if ((kept == most && score <= best[most - 1].score) || group.slots[j] == self) continue;
      uint32_t at = kept < most ? kept++ : most - 1;
      for (; at > 0 && best[at - 1].score < score; at--) best[at] = best[at - 1];
      best[at] = {score, group.slots[j]};
    }
    return kept;
  }

  // The best of the member's list and of w->best [n], each slot once: its score is the same wherever it is met.
  void merge(uint64_t position, uint32_t n, Worker* w) {
    Candidate* list = out_->lists.data() + position * options_.most;
    const Candidate *a = list, *a_end = a + options_.most, *b = w->best.data(), *b_end = b + n;
    uint32_t kept = 0;
    while (kept < options_.most && (a < a_end || b < b_end)) {
      if (b == b_end || (a < a_end && a->score > b->score)) {
        if (a->slot == kNone) break;
        w->merged[kept++] = *a++;
        continue;
      }
      const Candidate c = *b++;
      bool known = false;
      for (const Candidate* same = a; same < a_end && same->score == c.score; same++) known |= same->slot == c.slot;
      if (!known) w->merged[kept++] = c;
    }
    std::copy_n(w->merged.begin(), kept, list);
  }

  // Moves the `most` of a group with the largest products with w->query to `out`.
  void keep_largest(const Group& from, uint32_t most, Worker* w, Group* out) {
    score(from, false, w);
    w->at.resize(from.slots.size());
    std::iota(w->at.begin(), w->at.end(), 0);
    if (most < w->at.size()) {
      std::nth_element(w->at.begin(), w->at.begin() + most, w->at.end(), [&](uint32_t a, uint32_t b) {
        return w->scores[a] > w->scores[b] || (w->scores[a] == w->scores[b] && a < b);
      });
      w->at.resize(most);
    }
    std::sort(w->at.begin(), w->at.end());
    for (uint32_t& i : w->at) i = from.slots[i];
    gather(w->at, out);
  }

  void choose_products(Span span, Worker* w) {
    const uint64_t n = std::min<uint64_t>(span.size(), kFamilySample);
    w->at.resize(n);
    for (uint64_t i = 0; i < n; i++) w->at[i] = slot_at(span.begin + i * span.size() / n);
    gather(w->at, &w->part);
    codes_.prepare_mean(w->part.block, &w->query);
    keep_largest(longest_, kFamilyProducts, w, &w->family);
  }

  void compare_products(Span span, Worker* w) {
    codes_.prepare_mean(w->part.block, &w->query);
    keep_largest(w->family, products_->candidates, w, &w->rivals);
    for (uint64_t i = 0; i < span.size(); i++) {
      codes_.prepare(w->part.slots[i], &w->query);
      score(w->rivals, false, w);
      const uint32_t n = best_of(w->rivals, w->part.slots[i], products_->kept, w);
      products_->take(out_->order[span.begin + i], {w->best.data(), n}, w->number);
    }
  }

  const Codes& codes_;
  const std::span<const uint32_t> members_;
  const PartitionOptions options_;
  const Products* const products_;
  Runtime* const runtime_;
  const std::function<bool()>& stop_;
  Neighbours* const out_;
  Array<uint8_t> part_of_;  // [members], of the split under way
  Array<uint32_t> sorted_;  // [members], scratch of cut()
  Group longest_;           // products_->from
  std::vector<Worker> workers_;
  bool last_ = false;
};

}  // namespace

void find_neighbours(const Codes& codes, std::span<const uint32_t> members, const PartitionOptions& options,
                     const Products* products, Runtime* runtime, const std::function<bool()>& stop, Neighbours* out) {
  Partitions(codes, members, options, products, runtime, stop, out).run();
}

}  // namespace gyr::index
