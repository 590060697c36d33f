#include "index/graph.h"

#include <atomic>

#include "base/hash.h"
#include "base/knobs.h"

namespace gyr::index {

namespace {

// How many of the best hubs of a level are expanded, and of the first when the query is so many times farther from the
// best of them than that is from its neighbours (squared distances).
constexpr uint32_t kHubEffort = 4, kAstrayEffort = 32;
constexpr float kAstray = 8;

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

bool Graph::plausible_links(uint32_t slot) const {
  const uint32_t* l = links.data() + uint64_t(slot) * width;
  const size_t n = links_of(slot).size();
  for (uint32_t i = 0; i < width; i++)
    if (i < n ? l[i] >= store_.slots() || l[i] == slot : l[i] != kNone) return false;
  return true;
}

bool Graph::has_dead_links() const {
  const auto dead = [&](uint32_t slot) { return slot != kNone && !store_.is_alive(slot); };
  return std::any_of(links.begin(), links.end(), dead) || std::any_of(top_pivots.begin(), top_pivots.end(), dead) ||
         std::any_of(random_pivots.begin(), random_pivots.end(), dead);
}

void Graph::start(bool l2, uint32_t most, uint32_t kept, Walk* w) const {
  kept = std::max(most, kept);
  w->reserve(store_, kept, at_once());
  w->pool.reset(kept, at_once());
  w->l2 = l2;
  w->effort = most;
  w->level = hub_levels(store_.slots());
  w->next = 0;
  w->over = false;
  w->astray = false;
  w->scored = 0;
  w->n_at = 0;
  for (auto* pivots : {&top_pivots, &random_pivots})
    for (uint32_t slot : *pivots) w->at[w->n_at++] = slot;
  w->n_at = w->visited.add(w->at.data(), w->n_at);
}

void Graph::settle(const Allowed* allowed, Best* best, Walk* w) const {
  store_.codes->score(w->query, w->l2, w->at.data(), w->n_at, w->dots.data(), w->scores.data());
  w->scored += w->n_at;
  uint32_t n = w->n_at;
  if (best) {
    for (uint32_t i = 0; i < n; i++)
      if (best->takes(w->scores[i]) && (*allowed)(w->at[i])) best->offer(w->scores[i], w->at[i]);
    uint32_t left = 0;  // the walk is over before it comes to the others
    for (uint32_t i = 0; i < n; i++) {
      if (best->better_than(w->scores[i])) continue;
      w->scores[left] = w->scores[i];
      w->at[left++] = w->at[i];
    }
    n = left;
  }
  w->offer(n);
  while (w->next < w->pool.size() && w->pool.marked(w->next)) w->next++;
  if (w->next == w->pool.size()) return;
  w->over = w->level == 0 && best && best->better_than(w->pool.score(w->next));
  prefetch_links(w->pool.slot(w->next));
}

// Whether the best hub's own neighbours lie much nearer to it than the query does: in another group, then.
bool Graph::is_astray(Walk* w) const {
  if (w->pool.size() == 0) return false;
  const auto near = links_of(w->pool.slot(0));
  if (near.empty() || near.back() >= store_.slots()) return false;
  int32_t dot;
  float score;
  store_.codes->prepare(w->pool.slot(0), &w->here);
  store_.codes->score(w->here, true, &near.back(), 1, &dot, &score);
  return w->pool.score(0) < kAstray * score;
}

bool Graph::expand(Walk* w) const {
  while (w->next >= std::min(w->pool.size(), w->level == 0 ? w->effort
                                             : w->astray   ? kAstrayEffort
                                                           : kHubEffort) ||
         w->over) {
    if (w->level == 0) return false;
    if (w->level == 1 && w->l2 && !w->astray && is_astray(w))
      w->astray = true;  // once more, and over lonely nodes, too
    else
      w->level--;
    w->pool.unmark_all();
    w->next = 0;
  }
  const uint32_t node = w->pool.slot(w->next);
  w->pool.mark(w->next);
  const uint32_t* l = links.data() + uint64_t(node) * width;
  uint32_t n = 0;
  const uint32_t slots = store_.slots();  // a file's links may lead anywhere
  const uint32_t all = w->astray && w->level == 1 && is_hub(node, 1, seed) ? most_far(width) : 0;
  for (; n < width && l[n] < slots && (n < all || is_hub(l[n], w->level, seed)); n++) w->at[n] = l[n];
  w->n_at = w->visited.add(w->at.data(), n);
  for (uint32_t i = 0; i < w->n_at; i++) store_.codes->prefetch(w->at[i], w->l2);
  if (w->next + 1 < w->pool.size()) prefetch_links(w->pool.slot(w->next + 1));
  return true;
}

void Graph::run(bool l2, uint32_t most, Walk* w) const {
  start(l2, most, 0, w);
  do settle(nullptr, nullptr, w);
  while (expand(w));
}

void Graph::find_neighbours(uint32_t node, Worker* w, uint32_t* out) const {
  uint32_t n = 0;
  store_.codes->prepare(node, &w->walk.query);
  auto& candidates = w->links.candidates;
  for (bool l2 : {false, true}) {
    if (!l2 && store_.metric != GYR_METRIC_IP) continue;
    run(l2, effort, &w->walk);
    candidates.clear();
    for (bool alive : {true, false}) {  // dead neighbours only when there are no others
      if (!candidates.empty()) break;
      for (uint32_t p = 0; p < w->walk.pool.size(); p++) {
        const uint32_t slot = w->walk.pool.slot(p);
        if (slot != node && (!alive || store_.is_alive(slot))) candidates.push_back({w->walk.pool.score(p), slot});
      }
    }
    choose_diverse(*store_.codes, l2, slack(), candidates, l2 ? width : width / 2, &w->links.rival, out, &n);
  }
  std::fill(out + n, out + width, kNone);
}

// The new links of the node that edits [first, last) are about.
void Graph::edit_target(size_t first, size_t last, Worker* w, uint32_t* out) const {
  uint32_t node = edits_[first].target;
  auto old = links_of(node);
  w->links.ids.assign(old.begin(), old.end());
  bool repair = false;
  for (uint32_t slot : group_) {  // links to where a moved node was
    auto stale = std::find(w->links.ids.begin(), w->links.ids.end(), slot);
    if (stale == w->links.ids.end()) continue;
    w->links.ids.erase(stale);
    repair = true;
  }
  for (size_t i = first; i < last; i++)
    if (std::find(w->links.ids.begin(), w->links.ids.end(), edits_[i].add) == w->links.ids.end())
      w->links.ids.push_back(edits_[i].add);
  if (repair || w->links.ids.size() > width) {
    auto& ids = w->links.ids;
    uint32_t far = 0;  // first links that lead to hubs stay (build.h): by distance alone none of them would
    while (far < std::min<size_t>(ids.size(), width / 2) && is_hub(ids[far], 1, seed)) out[far] = ids[far], far++;
    ids.erase(ids.begin(), ids.begin() + ptrdiff_t(far));
    return choose_links(*store_.codes, store_.metric, slack(), node, width - far, &w->links, out + far);
  }
  std::copy(w->links.ids.begin(), w->links.ids.end(), out);
  std::fill(out + w->links.ids.size(), out + width, kNone);
}

// Groups are small beside the graph, so that members' not seeing each other matters little, and their size depends on
// nothing but the graph: the result is the same for any number of threads.
uint32_t Graph::largest_group(uint32_t width) { return std::max(1u, std::min(64u, (1u << 18) / (width * width))); }

uint32_t Graph::group_limit() const {
  return uint32_t(knobs::capacity(std::clamp(store_.slots() / 64, 1u, largest_group(width))));
}

uint64_t Graph::working_memory(uint64_t slots, uint32_t dim, uint32_t width, uint32_t effort, uint64_t group,
                               uint32_t workers) {
  const uint64_t rows = group * width, most = std::max<uint64_t>({effort, width + group + rows, kPivots});
  const uint64_t at_once = std::max(width, kMostPivots * 2), listed = std::min(effort * 32 + at_once, slots / 64 + 1);
  const uint64_t queries = 3 * (kernels::code_stride(dim) * 3 + uint64_t(dim) * 12);
  const uint64_t worker = most * (sizeof(Candidate) + 4 + 4 + 4) + queries + slots / 8 + 8 + listed * 4 +
                          Ranked::bytes_of(effort, at_once) + at_once * 12;
  return rows * 8 + group * 4 + (rows + rows * width) * sizeof(Edit) + (rows * 2 + 1) * 4 + rows * 2 * width * 4 +
         workers * worker;
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
    w.links.reserve(store_.dim, most);
    w.walk.query.reserve(store_.dim);
    if (i < group) w.walk.reserve(store_, effort, at_once());  // walks no more than there are nodes to insert
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
  erase_if(edits_, [&](const Edit& e) { return std::find(group_.begin(), group_.end(), e.target) != group_.end(); });
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

void Graph::adopt(Links* built) {
  links.swap(built->of);
  top_pivots.swap(built->top_pivots);
  random_pivots.swap(built->random_pivots);
}

void Graph::add_pivot(uint32_t slot) {
  auto put = [slot](Array<uint32_t>* pivots, uint32_t most, auto&& weight) {
    if (std::find(pivots->begin(), pivots->end(), slot) != pivots->end()) return;
    if (pivots->size() < most) return pivots->push_back(slot);
    auto least =
        std::min_element(pivots->begin(), pivots->end(), [&](uint32_t a, uint32_t b) { return weight(a) < weight(b); });
    if (weight(slot) > weight(*least)) *least = slot;
  };
  const uint32_t longest = top_pivots_of(store_.metric);
  put(&random_pivots, pivots_of(store_.metric) - longest, [&](uint32_t s) { return mix64(seed + s); });
  if (!longest) return;
  put(&top_pivots, longest, [&](uint32_t s) { return store_.codes->squared_length(s); });
}

}  // namespace gyr::index
