#include "index/build.h"

#include <atomic>
#include <iterator>
#include <numeric>

#include "base/hash.h"
#include "base/math.h"

namespace gyr::index {
namespace {

// Large products are looked for among so many of the longest vectors.
constexpr uint64_t kLongestShare = 8, kLeastLongest = 4096;
// So few are linked at once by compaction only, and then as well as by insertion.
constexpr uint64_t kFew = 2000;
constexpr uint64_t kAtOnce = 128;  // nodes that a thread takes
// A hub among so many near ones leads to a node.
constexpr uint32_t kLonely = 24;

// The members by `weight`, the greatest `most` of them first.
template <class Weight>
void greatest(std::span<const uint32_t> members, uint64_t most, Array<uint32_t>* out, const Weight& weight) {
  out->assign(members.begin(), members.end());
  most = std::min<uint64_t>(most, out->size());
  std::partial_sort(out->begin(), out->begin() + ptrdiff_t(most), out->end(), [&](uint32_t a, uint32_t b) {
    const auto wa = weight(a), wb = weight(b);
    return wa > wb || (wa == wb && a < b);
  });
  out->resize(most);
  out->shrink_to_fit();
}

PartitionOptions options_of(gyr_metric metric, uint64_t members) {
  if (members < kFew) return {.rounds = 6, .part = 512, .kept = 24, .most = 128};
  if (metric == GYR_METRIC_IP) return {};
  // Distance alone has to find all links: more of them, each round's fewer, so that not all are nearest ones.
  return {.rounds = 6, .part = 512, .kept = 6, .most = 48};
}

auto length_by(const Codes& codes) {
  return [&codes](uint32_t slot) { return codes.squared_length(slot); };
}

class Build {
 public:
  Build(const Codes& codes, std::span<const uint32_t> members, gyr_metric metric, uint32_t width, uint64_t seed,
        Runtime* runtime, gyr_task* task, bool hubs = false)
      : hubs_(hubs),
        codes_(codes),
        members_(members),
        metric_(metric),
        width_(width),
        seed_(seed),
        runtime_(runtime),
        task_(task),
        near_(runtime->memory()),
        own_(codes.slots() * width, kNone, Aligned<uint32_t>(runtime->memory())),
        first_(codes.slots() + 2, 0, Aligned<uint64_t>(runtime->memory())),
        back_(Aligned<uint32_t>(runtime->memory())) {
    for (uint32_t i = 0; i < runtime->concurrency(); i++) scratch_.emplace_back(runtime->memory());
  }

  // lonely: gets nodes that have no hub near them, one of each group of such; null = not wanted.
  Status run(Links* out, Array<uint32_t>* lonely = nullptr) {
    choose_pivots(codes_, members_, metric_, seed_, out);
    Products products;
    Array<uint32_t> longest = longest_members();
    products.from = longest;
    products.take = [this](uint64_t position, std::span<const Candidate> best, uint32_t worker) {
      uint32_t n = 0;
      choose_diverse(codes_, false, slack_, best, width_ / 2, &scratch_[worker].rival, own(members_[position]), &n);
    };
    PartitionOptions options = options_of(metric_, members_.size());
    if (hubs_) options = {.rounds = 6, .part = 512, .kept = 64, .most = 256};  // beyond their own group
    options.seed = seed_;
    find_neighbours(
        codes_, members_, options, metric_ == GYR_METRIC_IP ? &products : nullptr, runtime_,
        [this] { return !check(task_).ok(); }, &near_);
    spread([&](uint64_t position, LinkScratch* s) {
      uint32_t* links = own(members_[position]);
      auto n = uint32_t(std::find(links, links + width_, kNone) - links);
      choose_diverse(codes_, true, slack_, near_.of(position), width_, &s->rival, links, &n);
    });
    GYR_TRY(check(task_));
    if (lonely) find_lonely(lonely);
    find_links_back();
    out->of.assign(own_.size(), kNone);
    spread([&](uint64_t position, LinkScratch* s) { unite(members_[position], s, out); });
    return check(task_);
  }

 private:
  // Two steps are looked at, until there are kLonely nodes: in a group that is no larger than a part all rounds find
  // the same few nearest ones.
  void find_lonely(Array<uint32_t>* lonely) const {
    Array<uint32_t> position_of(codes_.slots(), 0, Aligned<uint32_t>(runtime_->memory()));
    for (uint64_t position = 0; position < members_.size(); position++)
      position_of[members_[position]] = uint32_t(position);
    for (uint64_t position = 0; position < members_.size(); position++) {
      const uint32_t slot = members_[position];
      const uint64_t weight = weight_of(slot, seed_);
      if (is_hub(slot, 1, seed_)) continue;
      uint32_t seen[kLonely] = {slot}, n = 1;
      bool outweighed = false;
      const auto look_at = [&](std::span<const Candidate> near) {
        for (const Candidate& c : near) {
          if (n == kLonely || outweighed) return;
          if (std::find(seen, seen + n, c.slot) != seen + n) continue;
          outweighed = weight_of(c.slot, seed_) > weight;
          seen[n++] = c.slot;
        }
      };
      look_at(near_.of(position));
      for (uint32_t i = 1, first = n; i < first && !outweighed; i++) look_at(near_.of(position_of[seen[i]]));
      if (!outweighed) lonely->push_back(slot);
    }
  }
  uint32_t* own(uint32_t slot) { return own_.data() + uint64_t(slot) * width_; }

  // body(position, scratch) of every member, near ones after each other: they look at the same codes.
  template <class Body>
  void spread(const Body& body) {
    std::atomic<uint64_t> next{0};
    const uint64_t parts = div_up(members_.size(), kAtOnce);
    runtime_->parallel_for(std::min<uint64_t>(scratch_.size(), parts), [&](uint64_t w) {
      for (uint64_t part; (part = next.fetch_add(1, std::memory_order_relaxed)) < parts && check(task_).ok();)
        for (uint64_t i = part * kAtOnce; i < std::min<uint64_t>((part + 1) * kAtOnce, members_.size()); i++)
          body(near_.order[i], &scratch_[w]);
    });
  }

  Array<uint32_t> longest_members() const {
    Array<uint32_t> out{Aligned<uint32_t>(runtime_->memory())};
    if (metric_ == GYR_METRIC_IP)
      greatest(members_, std::max(kLeastLongest, members_.size() / kLongestShare), &out, length_by(codes_));
    return out;
  }

  // Who chose a slot: back_[first_[slot]..first_[slot + 1]).
  void find_links_back() {
    const auto each = [&](const auto& use) {
      for (uint32_t slot : members_)
        for (const uint32_t *l = own(slot), *end = l + width_; l < end && *l != kNone; l++) use(slot, *l);
    };
    each([&](uint32_t, uint32_t to) { first_[to + 2]++; });
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    back_.resize(first_.back());
    each([&](uint32_t slot, uint32_t to) { back_[first_[to + 1]++] = slot; });
  }

  void unite(uint32_t node, LinkScratch* s, Links* out) {
    const uint32_t* chosen = own(node);
    s->ids.assign(chosen, std::find(chosen, chosen + width_, kNone));
    const auto n = ptrdiff_t(s->ids.size());
    for (uint64_t i = first_[node]; i < first_[node + 1]; i++)
      if (std::find(s->ids.begin(), s->ids.begin() + n, back_[i]) == s->ids.begin() + n) s->ids.push_back(back_[i]);
    uint32_t* links = out->of.data() + uint64_t(node) * width_;
    if (s->ids.size() > width_) return choose_links(codes_, metric_, slack_, node, width_, s, links);
    std::copy(s->ids.begin(), s->ids.end(), links);
  }

  const bool hubs_;  // links of hubs to each other
  const Codes& codes_;
  const std::span<const uint32_t> members_;
  const gyr_metric metric_;
  const Slack slack_ = hubs_ ? kHubSlack : build_slack(metric_);
  const uint32_t width_;
  const uint64_t seed_;
  Runtime* const runtime_;
  gyr_task* const task_;
  Neighbours near_;
  Array<uint32_t> own_;  // [slots, width], what nodes chose themselves
  Array<uint64_t> first_;
  Array<uint32_t> back_;
  std::vector<LinkScratch> scratch_;  // of the threads
};

}  // namespace

void choose_pivots(const Codes& codes, std::span<const uint32_t> members, gyr_metric metric, uint64_t seed,
                   Links* out) {
  const uint32_t longest = top_pivots_of(metric);
  greatest(members, longest, &out->top_pivots, length_by(codes));
  greatest(members, pivots_of(metric) - longest, &out->random_pivots,
           [seed](uint32_t slot) { return weight_of(slot, seed); });
  reserve_pivots(out);
}

uint64_t links_memory(uint64_t slots, uint32_t dim, gyr_metric metric, uint32_t width, uint32_t threads) {
  constexpr uint64_t kThread = 1 << 17;
  const uint64_t code = kernels::code_stride(dim) + sizeof(CodeNote) + 4;
  const uint64_t longest = std::min(slots, std::max(kLeastLongest, slots / kLongestShare));
  const uint64_t partitions =
      slots * 9 + longest * code + threads * std::min<uint64_t>(slots, 8192 + 1024) * (code + 8);
  const uint64_t found = slots * (options_of(metric, slots).most * sizeof(Candidate) + 4);
  const uint64_t own = slots * (width * 4 + 8), back = slots * width * 4;
  return found + own + std::max(partitions, back) + slots * width * 4 + threads * kThread;
}

namespace {

// Each level's hubs are linked as if there were no other nodes; so are lonely ones with hubs, to which they then have
// links, and hubs to some of them, behind those to hubs.
Status link_hubs(const Codes& codes, std::span<const uint32_t> members, std::span<const uint32_t> lonely,
                 gyr_metric metric, uint32_t width, uint64_t seed, Runtime* runtime, gyr_task* task, Links* out) {
  const Aligned<uint32_t> memory(runtime->memory());
  Array<uint32_t> some(memory), all(memory);
  const auto is_lonely = [&](uint32_t slot) { return !is_hub(slot, 1, seed); };
  for (uint32_t level = 0; level <= hub_levels(members.size());
       level++) {  // 0: the lonely ones; what comes last is first
    some.clear();
    std::copy_if(members.begin(), members.end(), std::back_inserter(some),
                 [&](uint32_t slot) { return is_hub(slot, std::max(level, 1u), seed); });
    if (level == 0) some.insert(some.end(), lonely.begin(), lonely.end());
    if (some.size() < 2) continue;
    Links far(runtime->memory());
    GYR_TRY(Build(codes, some, metric, width, seed, runtime, task, true).run(&far));
    for (uint32_t slot : some) {
      uint32_t *links = out->of.data() + uint64_t(slot) * width, *first = far.of.data() + uint64_t(slot) * width;
      all.assign(first, std::find(first, first + width, kNone));
      if (level == 0 && !is_lonely(slot)) {
        erase_if(all, [&](uint32_t to) { return !is_lonely(to); });
        all.resize(std::min<size_t>(all.size(), most_far(width) - width / 2));
      }
      all.resize(std::min<size_t>(all.size(), std::max(1u, width / 2)));
      for (uint32_t i = 0; i < width && links[i] != kNone && all.size() < width; i++)
        if (std::find(all.begin(), all.end(), links[i]) == all.end()) all.push_back(links[i]);
      std::copy(all.begin(), all.end(), links);
      std::fill(links + all.size(), links + width, kNone);
    }
  }
  return {};
}

}  // namespace

Status build_links(const Codes& codes, std::span<const uint32_t> members, gyr_metric metric, uint32_t width,
                   uint64_t seed, Runtime* runtime, gyr_task* task, Links* out) {
  Array<uint32_t> lonely(Aligned<uint32_t>{runtime->memory()});
  const bool hubs = hub_levels(members.size()) > 0;
  GYR_TRY(Build(codes, members, metric, width, seed, runtime, task).run(out, hubs ? &lonely : nullptr));
  if (!hubs) return {};
  return link_hubs(codes, members, lonely, metric, width, seed, runtime, task, out);
}

}  // namespace gyr::index
