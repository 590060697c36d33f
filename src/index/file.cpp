// An index in a container: one section of kind "IDX1". Layout: docs/index.md.
#include <cmath>
#include <string>

#include "base/bytes.h"
#include "index/vector_index.h"

namespace gyr {

Result<std::shared_ptr<Index>> Index::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name) {
  GYR_ASSIGN(auto bytes, file.view(name, "IDX1"));
  std::string where(name);
  ByteReader in(bytes, where.c_str());
  gyr_index_options o{};
  GYR_TRY(in.get(&o.dim));
  GYR_TRY(in.get(&o.metric));
  GYR_TRY(in.get(&o.kind));
  GYR_TRY(in.get(&o.degree));
  GYR_TRY(in.get(&o.build_effort));
  uint32_t reserved = 0;
  GYR_TRY(in.get(&reserved));
  GYR_TRY(in.get(&o.seed));
  gyr_index_options complete = o;
  Status s = index::complete_options(&complete);
  if (!s.ok()) return fail(GYR_E_CORRUPT, "index", "%s: %s", where.c_str(), s.message());
  if (std::memcmp(&o, &complete, sizeof o) != 0 || reserved != 0)
    return fail(GYR_E_CORRUPT, "index", "%s: an option is zero that a saved index always has", where.c_str());
  auto index = std::make_shared<index::VectorIndex>(std::move(runtime), complete);
  GYR_TRY(index->read(bytes.subspan(bytes.size() - in.left()), where.c_str()));
  return std::shared_ptr<Index>(std::move(index));
}

namespace index {

Status VectorIndex::save(ContainerWriter* file, std::string_view name) const {
  std::shared_lock shared(gate_);
  ByteWriter out;
  out.put(options_.dim);
  out.put(options_.metric);
  out.put(options_.kind);
  out.put(options_.degree);
  out.put(options_.build_effort);
  out.put(uint32_t(0));
  out.put(options_.seed);
  out.put_array(store_.ids);
  out.put_array(store_.alive);
  out.bytes().reserve(out.bytes().size() + store_.slots() * uint64_t(store_.dim) * 4 +
                      (graph_ ? graph_->links.size() * 4 : 0) + 4096);
  for (uint32_t slot = 0; slot < store_.slots(); slot++) out.append(store_.row(slot), uint64_t(store_.dim) * 4);
  out.bytes().resize(align_up(out.bytes().size(), 8));
  if (graph_) {
    out.put_array(graph_->links);
    out.put_array(graph_->top_pivots);
    out.put_array(graph_->random_pivots);
    out.put_array(store_.codes->centre());
    out.put(store_.codes->next_learning());
    out.put_array(store_.codes->axes());
    if (uint64_t tuned = tuned_) out.put(tuned);
  }
  return file->add(name, "IDX1", std::move(out.bytes()));
}

Status VectorIndex::read(std::span<const uint8_t> bytes, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  ByteReader in(bytes, name);
  std::span<const int64_t> ids;
  std::span<const uint64_t> alive;
  GYR_TRY(in.get_array(&ids));
  GYR_TRY(in.get_array(&alive));
  uint64_t n = ids.size(), row_bytes = n * store_.dim * 4;  // n < 2^61 / 8 and dim <= 2^16: checked against the rest
  if (n >= kMaxSlots || alive.size() != div_up(n, 64)) return corrupt("ids and alive bits do not fit together");
  if (n % 64 && alive.back() >> (n % 64)) return corrupt("an alive bit lies beyond the last slot");
  if (align_up(row_bytes, 8) > in.left()) return corrupt("vectors are cut off");
  const uint8_t* rows = bytes.data() + (bytes.size() - in.left());
  ByteReader rest(bytes.subspan(bytes.size() - in.left() + align_up(row_bytes, 8)), name);

  std::span<const uint32_t> links, pivots[2];
  if (graph_) {
    GYR_TRY(rest.get_array(&links));
    GYR_TRY(rest.get_array(&pivots[0]));
    GYR_TRY(rest.get_array(&pivots[1]));
    if (rest.left() > 0) {  // earlier files have no centre
      std::span<const float> centre, axes;
      uint64_t next = 0;
      GYR_TRY(rest.get_array(&centre));
      GYR_TRY(rest.get(&next));
      if (rest.left() > 0) GYR_TRY(rest.get_array(&axes));  // nor axes
      if (centre.size() != store_.dim) return corrupt("the centre is no vector of the index");
      double squared = 0;
      for (float v : centre) squared += double(v) * v;
      if (!(squared <= kMaxSquaredNorm)) return corrupt("the centre is not finite or too long");
      if (axes.size() % store_.dim || axes.size() / store_.dim > store_.dim) return corrupt("the axes do not fit");
      for (float v : axes)
        if (!(std::abs(v) <= 1.001f)) return corrupt("an axis is longer than 1");
      store_.codes->set(centre, axes, next);
    }
    if (rest.left() > 0) {  // only where it was tuned
      uint64_t tuned = 0;
      GYR_TRY(rest.get(&tuned));
      const uint64_t k = tuned >> 32, effort = uint32_t(tuned);
      if (k < 1 || k > kMostK || effort < k || effort > kMostEffort) return corrupt("the tuned effort is none");
      tuned_ = tuned;
    }
  }
  GYR_TRY(rest.finish());

  store_.reserve(n);
  Array<float> given(store_.dim, 0, Aligned<float>(runtime_->memory()));
  Array<float> row(store_.stride, 0, Aligned<float>(runtime_->memory()));
  for (uint64_t i = 0; i < n; i++) {
    std::memcpy(given.data(), rows + i * store_.dim * 4, uint64_t(store_.dim) * 4);
    if (!store_.prepare(given.data(), row.data())) return corrupt("a vector is not finite, too long or zero");
    double squared = 0;
    for (float v : given) squared += double(v) * v;
    if (store_.metric == GYR_METRIC_COSINE && std::abs(squared - 1) > 1e-3)
      return corrupt("a vector is not normalised");
    std::copy(given.begin(), given.end(), row.begin());  // bit for bit what was saved
    uint32_t slot = store_.take_slot();
    store_.write_coded_row(slot, row.data());
    if (!(alive[i / 64] >> (i % 64) & 1)) {
      if (ids[i] != 0) return corrupt("a dead slot has an id");
      continue;
    }
    if (store_.map.find(ids[i]) != kNone) return corrupt("an id occurs twice");
    store_.publish(slot, ids[i]);
  }
  for (uint32_t i = 0; i < n; i++)
    if (!store_.is_alive(i)) store_.free_slots.push_back(i);  // ascending: already a min-heap
  if (!graph_) return {};

  if (links.size() != n * graph_->width) return corrupt("the number of links does not fit the slots");
  for (uint64_t i = 0; i < links.size(); i++) {
    bool first = i % graph_->width == 0;
    if (links[i] == kNone) continue;
    if (links[i] >= n || links[i] == i / graph_->width) return corrupt("a link leads out of the index or to itself");
    if (!first && links[i - 1] == kNone) return corrupt("a node's links have a gap");
  }
  for (auto& p : pivots) {
    if (p.size() > Graph::kMostPivots) return corrupt("too many pivots");
    for (uint32_t slot : p)
      if (slot >= n) return corrupt("a pivot lies out of the index");
  }
  if (n && pivots[1].empty()) return corrupt("the graph has no pivots");
  graph_->links.assign(links.begin(), links.end());
  graph_->top_pivots.assign(pivots[0].begin(), pivots[0].end());
  graph_->random_pivots.assign(pivots[1].begin(), pivots[1].end());
  return {};
}

}  // namespace index
}  // namespace gyr
