#include "index/graph.h"

#include <atomic>

#include "base/hash.h"
#include "base/knobs.h"

namespace gyr::index {
namespace {

constexpr uint32_t kExpanded = 1u << 31;

auto score_at(const Store& store, bool l2) { return l2 ? store.ops->l2_rows_at : store.ops->dot_rows_at; }

bool before(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.slot < b.slot);
}

}  // namespace

Graph::Graph(std::pmr::memory_resource* memory, const Store& store, uint32_t width, uint32_t effort, uint64_t seed)
    : width(width),
      effort(effort),
      seed(seed),
      links(Aligned<uint32_t>(memory)),
      top_pivots(Aligned<uint32_t>(memory)),
      random_pivots(Aligned<uint32_t>(memory)),
      memory_(memory),
      store_(store),
      group_(Aligned<uint32_t>(memory)),
      old_links_(Aligned<uint32_t>(memory)),
      new_links_(Aligned<uint32_t>(memory)),
      target_links_(Aligned<uint32_t>(memory)),
      edits_(Aligned<Edit>(memory)),
      starts_(Aligned<uint32_t>(memory)) {
  top_pivots.reserve(kPivots);
  random_pivots.reserve(kPivots);
}

std::span<const uint32_t> Graph::links_of(uint32_t slot) const {
  const uint32_t* l = links.data() + uint64_t(slot) * width;
  uint32_t n = 0;
  while (n < width && l[n] != kNone) n++;
  return {l, n};
}

void Graph::pool_offer(WalkScratch* s, uint32_t limit, float score, uint32_t slot, size_t* next) const {
  auto& pool = s->pool;
  if (pool.size() == limit && score <= pool.back().score) return;
  auto at = std::upper_bound(pool.begin(), pool.end(), score, [](float v, const Candidate& c) { return v > c.score; });
  size_t position = size_t(at - pool.begin());
  if (pool.size() == limit) pool.pop_back();
  pool.insert(pool.begin() + std::ptrdiff_t(position), {score, slot});
  *next = std::min(*next, position);
}

void Graph::walk(const float* query, bool l2, uint32_t limit, const Allowed* allowed, TopK* top, WalkScratch* s) const {
  auto score = score_at(store_, l2);
  const float* rows = store_.rows.data();
  s->visited.reset(store_);
  s->pool.clear();
  s->pool.reserve(limit);
  s->at.reserve(std::max(width, kPivots * 2));
  s->scores.resize(std::max(width, kPivots * 2));
  s->at.clear();
  for (auto* pivots : {&top_pivots, &random_pivots})
    for (uint32_t slot : *pivots)
      if (s->visited.add(slot)) s->at.push_back(slot);
  size_t next = 0;
  for (;;) {
    score(query, rows, s->at.data(), s->at.size(), store_.dim, store_.stride, s->scores.data());
    for (size_t i = 0; i < s->at.size(); i++) {
      uint32_t slot = s->at[i];
      if (top && s->scores[i] >= top->bar() && (*allowed)(slot)) top->offer(s->scores[i], store_.ids[slot]);
      pool_offer(s, limit, s->scores[i], slot, &next);
    }
    while (next < s->pool.size() && s->pool[next].slot & kExpanded) next++;
    if (next == s->pool.size()) return;
    uint32_t node = s->pool[next].slot;
    s->pool[next].slot |= kExpanded;
    if (next + 1 < s->pool.size())
      __builtin_prefetch(links.data() + uint64_t(s->pool[next + 1].slot & ~kExpanded) * width);
    s->at.clear();
    const uint32_t* l = links.data() + uint64_t(node) * width;
    for (uint32_t i = 0; i < width && l[i] != kNone; i++) {
      if (!s->visited.add(l[i])) continue;
      s->at.push_back(l[i]);
      const char* row = reinterpret_cast<const char*>(store_.row(l[i]));
      for (uint32_t b = 0; b < std::min(store_.stride * 4, 512u); b += 64) __builtin_prefetch(row + b);
    }
  }
}

// Keeps a candidate when it is nearer to the node than to everything kept before. `from` is best first; its scores are
// those to the node. Slots already in `out` are kept but not counted as rivals.
void Graph::choose(std::span<const Candidate> from, bool l2, uint32_t limit, uint32_t* out, uint32_t* n) const {
  auto score = score_at(store_, l2);
  uint32_t first = *n;
  float rival[8];
  uint32_t kept[256];  // the rivals: chosen in this round, and members of `out` met in it
  uint32_t k = 0;
  for (const Candidate& c : from) {
    if (*n == limit) return;
    bool hidden = false;
    for (uint32_t i = 0; i < k && !hidden; i += 8) {
      uint32_t m = std::min(8u, k - i);
      score(store_.row(c.slot), store_.rows.data(), kept + i, m, store_.dim, store_.stride, rival);
      for (uint32_t j = 0; j < m; j++) hidden |= rival[j] >= c.score;
    }
    if (hidden) continue;
    kept[k++] = c.slot;
    if (std::find(out, out + first, c.slot) == out + first) out[(*n)++] = c.slot;
    if (k == 256) return;
  }
}

// Chooses `node`'s links among w->ids.
void Graph::choose_among(uint32_t node, Worker* w, uint32_t* out) const {
  uint32_t n = 0;
  w->scores.resize(w->ids.size());
  for (int round = store_.metric == GYR_METRIC_IP ? 0 : 1; round < 2; round++) {
    bool l2 = round == 1 && store_.metric != GYR_METRIC_COSINE;
    score_at(store_, l2)(store_.row(node), store_.rows.data(), w->ids.data(), w->ids.size(), store_.dim, store_.stride,
                         w->scores.data());
    w->candidates.clear();
    for (size_t i = 0; i < w->ids.size(); i++) w->candidates.push_back({w->scores[i], w->ids[i]});
    std::sort(w->candidates.begin(), w->candidates.end(), before);
    choose(w->candidates, l2, round == 0 ? width / 2 : width, out, &n);
  }
  std::fill(out + n, out + width, kNone);
}

void Graph::find_neighbours(uint32_t node, Worker* w, uint32_t* out) const {
  uint32_t n = 0;
  for (int round = store_.metric == GYR_METRIC_IP ? 0 : 1; round < 2; round++) {
    bool l2 = round == 1 && store_.metric != GYR_METRIC_COSINE;
    walk(store_.row(node), l2, effort, nullptr, nullptr, &w->walk);
    w->candidates.clear();
    for (bool alive : {true, false}) {  // dead neighbours only when there are no others
      if (!w->candidates.empty()) break;
      for (const Candidate& c : w->walk.pool) {
        uint32_t slot = c.slot & ~kExpanded;
        if (slot != node && (!alive || store_.is_alive(slot))) w->candidates.push_back({c.score, slot});
      }
    }
    choose(w->candidates, l2, round == 0 ? width / 2 : width, out, &n);
  }
  std::fill(out + n, out + width, kNone);
}

// The new links of the node that edits [first, last) are about.
void Graph::edit_target(size_t first, size_t last, Worker* w, uint32_t* out) const {
  uint32_t node = edits_[first].target;
  auto old = links_of(node);
  w->ids.assign(old.begin(), old.end());
  bool repair = false;
  for (uint32_t slot : group_) {  // links to where a moved node was
    auto stale = std::find(w->ids.begin(), w->ids.end(), slot);
    if (stale == w->ids.end()) continue;
    w->ids.erase(stale);
    repair = true;
  }
  for (size_t i = first; i < last; i++)
    if (std::find(w->ids.begin(), w->ids.end(), edits_[i].add) == w->ids.end()) w->ids.push_back(edits_[i].add);
  if (repair || w->ids.size() > width) return choose_among(node, w, out);
  std::copy(w->ids.begin(), w->ids.end(), out);
  std::fill(out + w->ids.size(), out + width, kNone);
}

// Groups are small beside the graph, so that members' not seeing each other matters little, and their size depends on
// nothing but the graph: the result is the same for any number of threads.
uint32_t Graph::group_limit() const {
  uint32_t cap = std::max(1u, std::min(64u, (1u << 18) / (width * width)));
  return uint32_t(knobs::capacity(std::clamp(store_.slots() / 64, 1u, cap)));
}

void Graph::prepare(size_t group, uint32_t workers) {
  size_t rows = group * width;
  group_.resize(group);
  new_links_.resize(rows);
  old_links_.resize(rows);
  edits_.reserve(rows + rows * width);
  starts_.reserve(rows * 2 + 1);
  target_links_.reserve(rows * 2 * width);
  while (workers_.size() < workers) workers_.emplace_back(memory_);
  for (size_t i = 0; i < workers_.size(); i++) {
    Worker& w = workers_[i];
    size_t most = std::max<size_t>({effort, width + group + rows, kPivots});
    w.candidates.reserve(most);
    w.ids.reserve(most);
    w.scores.reserve(most);
    if (i >= group) continue;  // walks no more than there are nodes to insert
    w.walk.pool.reserve(effort);
    w.walk.at.reserve(std::max(width, kPivots * 2));
    w.walk.scores.reserve(std::max(width, kPivots * 2));
    w.walk.visited.reset(store_);
  }
}

void Graph::detach(std::span<const uint32_t> group) {
  std::copy(group.begin(), group.end(), group_.begin());
  links.resize(uint64_t(store_.slots()) * width, kNone);
  for (size_t i = 0; i < group.size(); i++) {
    uint32_t* l = links.data() + uint64_t(group[i]) * width;
    std::copy_n(l, width, old_links_.data() + i * width);
    std::fill_n(l, width, kNone);
  }
}

template <class Body>
void Graph::spread(Runtime* runtime, size_t n, const Body& body) {
  size_t workers = std::min(workers_.size(), n);
  if (workers <= 1) {
    for (size_t i = 0; i < n; i++) body(i, &workers_[0]);
    return;
  }
  std::atomic<size_t> next{0};
  runtime->parallel_for(workers, [&](uint64_t w) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) body(i, &workers_[w]);
  });
}

void Graph::compute(Runtime* runtime) {
  spread(runtime, group_.size(),
         [&](size_t i, Worker* w) { find_neighbours(group_[i], w, new_links_.data() + i * width); });
  edits_.clear();
  for (size_t i = 0; i < group_.size(); i++)
    for (uint32_t j = 0; j < width; j++) {
      uint32_t target = new_links_[i * width + j];
      if (target != kNone) edits_.push_back({target, group_[i]});
      // A moved node's old neighbours lose their way through it: offer them each other. Links of a file may repeat
      // one: not itself.
      uint32_t old = old_links_[i * width + j];
      if (old == kNone) continue;
      for (uint32_t k = 0; k < width && old_links_[i * width + k] != kNone; k++)
        if (old_links_[i * width + k] != old) edits_.push_back({old, old_links_[i * width + k]});
    }
  // Members of the group get their own new links only.
  std::erase_if(edits_,
                [&](const Edit& e) { return std::find(group_.begin(), group_.end(), e.target) != group_.end(); });
  std::sort(edits_.begin(), edits_.end());
  starts_.clear();
  for (size_t i = 0; i < edits_.size(); i++)
    if (i == 0 || edits_[i].target != edits_[i - 1].target) starts_.push_back(uint32_t(i));
  size_t targets = starts_.size();
  starts_.push_back(uint32_t(edits_.size()));
  target_links_.resize(targets * width);
  spread(runtime, targets,
         [&](size_t i, Worker* w) { edit_target(starts_[i], starts_[i + 1], w, target_links_.data() + i * width); });
}

void Graph::apply() {
  for (size_t i = 0; i + 1 < starts_.size(); i++)
    std::copy_n(target_links_.data() + i * width, width, links.data() + uint64_t(edits_[starts_[i]].target) * width);
  for (size_t i = 0; i < group_.size(); i++) {
    std::copy_n(new_links_.data() + i * width, width, links.data() + uint64_t(group_[i]) * width);
    add_pivot(group_[i]);
  }
}

void Graph::add_pivot(uint32_t slot) {
  auto put = [slot](Array<uint32_t>* pivots, uint32_t most, auto&& weight) {
    if (std::find(pivots->begin(), pivots->end(), slot) != pivots->end()) return;
    if (pivots->size() < most) return pivots->push_back(slot);
    auto least =
        std::min_element(pivots->begin(), pivots->end(), [&](uint32_t a, uint32_t b) { return weight(a) < weight(b); });
    if (weight(slot) > weight(*least)) *least = slot;
  };
  uint32_t longest = store_.metric == GYR_METRIC_IP ? kPivots * 3 / 4 : 0;
  auto hash = [&](uint32_t s) { return mix64(seed + s); };
  put(&random_pivots, kPivots - longest, hash);
  if (!longest) return;
  put(&top_pivots, longest, [&](uint32_t s) { return store_.ops->dot(store_.row(s), store_.row(s), store_.dim); });
}

}  // namespace gyr::index
