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
  uint32_t stored = 0;  // earlier files: 0
  GYR_TRY(in.get(&stored));
  o.stored = stored ? gyr_stored(stored) : GYR_STORED_FP32;
  GYR_TRY(in.get(&o.seed));
  gyr_index_options complete = o;
  Status s = index::complete_options(&complete);
  if (!s.ok()) return fail(GYR_E_CORRUPT, "index", "%s: %s", where.c_str(), s.message());
  if (std::memcmp(&o, &complete, sizeof o) != 0 || stored == uint32_t(GYR_STORED_FP32))
    return fail(GYR_E_CORRUPT, "index", "%s: an option is zero that a saved index always has", where.c_str());
  auto index = std::make_shared<index::VectorIndex>(std::move(runtime), complete);
  GYR_TRY(index->read(bytes.subspan(bytes.size() - in.left()), where.c_str()));
  return std::shared_ptr<Index>(std::move(index));
}

namespace index {
namespace {

void put_learnt(const Codes& codes, ByteWriter* out) {
  out->put_array(codes.centre());
  out->put(codes.next_learning());
  out->put_array(codes.axes());
}

Status get_learnt(ByteReader* in, const char* name, Codes* codes) {
  std::span<const float> centre, axes;
  uint64_t next = 0;
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  GYR_TRY(in->get_array(&centre));
  GYR_TRY(in->get(&next));
  if (in->left() > 0) GYR_TRY(in->get_array(&axes));  // earlier files have none
  const size_t dim = codes->centre().size();
  if (centre.size() != dim) return corrupt("the centre is no vector of the index");
  double squared = 0;
  for (float v : centre) squared += double(v) * v;
  if (!(squared <= kMaxSquaredNorm)) return corrupt("the centre is not finite or too long");
  if (axes.size() % dim || axes.size() / dim > dim || (codes->stays_whole() && !axes.empty()))
    return corrupt("the axes do not fit");
  for (float v : axes)
    if (!(std::abs(v) <= 1.001f)) return corrupt("an axis is longer than 1");
  codes->set(centre, axes, next);
  return {};
}

// Of a vector as it was kept: rounding may have made it longer than one that is given may be, or than 1.
bool plausible(const float* row, uint32_t dim, gyr_metric metric, gyr_stored stored) {
  double squared = 0;
  for (uint32_t d = 0; d < dim; d++) squared += double(row[d]) * row[d];
  if (!(squared <= kMaxSquaredNorm * (stored == GYR_STORED_FP32 ? 1 : 2))) return false;
  if (metric != GYR_METRIC_COSINE || stored == GYR_STORED_INT8 || stored == GYR_STORED_INT16) return true;
  return std::abs(squared - 1) <= (stored == GYR_STORED_FP32 ? 1e-3 : 0.02);
}

}  // namespace

Status VectorIndex::save(ContainerWriter* file, std::string_view name) const {
  std::lock_guard writer(writer_);  // searches and deletions go on
  ByteWriter out;
  out.put(options_.dim);
  out.put(options_.metric);
  out.put(options_.kind);
  out.put(options_.degree);
  out.put(options_.build_effort);
  out.put(options_.stored == GYR_STORED_FP32 ? uint32_t(0) : uint32_t(options_.stored));
  out.put(options_.seed);
  out.put_array(store_.ids);
  const uint64_t after_ids = out.bytes().size();
  out.put_array(alive_now());
  const uint64_t after_alive = out.bytes().size();
  const uint64_t row_bytes = store_.vectors.file_bytes(), rows = out.bytes().size();
  const uint64_t end = align_up(rows + store_.slots() * row_bytes, 8);
  out.bytes().reserve(end + (graph_ ? graph_->links.size() * 4 : 0) + uint64_t(store_.dim) * 8 + 4096);
  out.bytes().resize(end);
  for (uint32_t slot = 0; slot < store_.slots(); slot++)
    store_.vectors.save(slot, out.bytes().data() + rows + slot * row_bytes);
  if (graph_) {
    out.put_array(graph_->links);
    out.put_array(graph_->top_pivots);
    out.put_array(graph_->random_pivots);
    put_learnt(*store_.codes, &out);
  }
  if (store_.vectors.own_codes()) put_learnt(*store_.vectors.own_codes(), &out);
  uint64_t changes = 0;
  {  // what deletions change, all at one time
    Gate::Reader reader(gate_);
    if (graph_) changes = changes_;
    if (lists_) lists_->save(&out);
    const uint64_t words = store_.alive.size();
    if (words > 0) std::memcpy(out.bytes().data() + after_alive - words * 8, store_.alive.data(), words * 8);
  }
  uint8_t* ids = out.bytes().data() + after_ids - store_.slots() * sizeof(int64_t);
  const uint8_t* alive = out.bytes().data() + after_alive - store_.alive.size() * sizeof(uint64_t);
  for (uint64_t slot = 0; slot < store_.slots(); slot++)  // dead ones look the same in every file
    if (!(alive[slot / 8] >> (slot % 8) & 1)) std::memset(ids + slot * sizeof(int64_t), 0, sizeof(int64_t));
  const uint64_t tuned = options_.kind == GYR_INDEX_EXACT ? 0 : tuned_.load();
  if (tuned || changes) out.put(tuned);
  if (changes) out.put(changes);
  return file->add(name, "IDX1", std::move(out.bytes()));
}

Status VectorIndex::read(std::span<const uint8_t> bytes, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  ByteReader in(bytes, name);
  std::span<const int64_t> ids;
  std::span<const uint64_t> alive;
  GYR_TRY(in.get_array(&ids));
  GYR_TRY(in.get_array(&alive));
  uint64_t n = ids.size(), row_bytes = store_.vectors.file_bytes();
  if (n >= kMaxSlots || alive.size() != div_up(n, 64)) return corrupt("ids and alive bits do not fit together");
  if (n % 64 && alive.back() >> (n % 64)) return corrupt("an alive bit lies beyond the last slot");
  if (align_up(n * row_bytes, 8) > in.left()) return corrupt("vectors are cut off");
  const uint8_t* rows = bytes.data() + (bytes.size() - in.left());
  ByteReader rest(bytes.subspan(bytes.size() - in.left() + align_up(n * row_bytes, 8)), name);

  std::span<const uint32_t> links, pivots[2];
  if (graph_) {
    GYR_TRY(rest.get_array(&links));
    GYR_TRY(rest.get_array(&pivots[0]));
    GYR_TRY(rest.get_array(&pivots[1]));
    // Earlier files have no centre.
    if (rest.left() > 0 || store_.vectors.coded()) GYR_TRY(get_learnt(&rest, name, &*store_.codes));
  }
  if (Codes* own = store_.vectors.own_codes()) GYR_TRY(get_learnt(&rest, name, own));
  const auto read_tuned = [&]() -> Status {  // only where it was
    if (rest.left() == 0 || options_.kind == GYR_INDEX_EXACT) return rest.finish();
    uint64_t tuned = 0;
    GYR_TRY(rest.get(&tuned));
    const uint64_t k = tuned >> 32, effort = uint32_t(tuned);
    if (graph_ && rest.left() > 0) {
      uint64_t changes = 0;
      GYR_TRY(rest.get(&changes));
      if (changes > uint64_t(1) << 40) return corrupt("the number of changes is none");
      changes_ = changes;
      if (tuned == 0) return rest.finish();
    }
    if (k < 1 || k > kMostK || effort < k || effort > kMostEffort) return corrupt("the tuned effort is none");
    tuned_ = tuned;
    return rest.finish();
  };
  if (!lists_) GYR_TRY(read_tuned());

  store_.reserve(n);
  Array<float> scratch(store_.stride, 0, Aligned<float>(runtime_->memory()));
  Array<uint32_t> dead(Aligned<uint32_t>(runtime_->memory()));
  for (uint64_t i = 0; i < n; i++) {
    const uint32_t slot = store_.take_slot();
    store_.load_row(slot, rows + i * row_bytes);
    if (!plausible(store_.read(slot, scratch.data()), store_.dim, store_.metric, store_.stored))
      return corrupt("a vector is not finite, too long, or not normalised");
    if (!(alive[i / 64] >> (i % 64) & 1)) {
      if (ids[i] != 0) return corrupt("a dead slot has an id");
      dead.push_back(slot);
      continue;
    }
    if (store_.find(ids[i]) != kNone) return corrupt("an id occurs twice");
    store_.publish(slot, ids[i]);
  }
  for (uint32_t slot : dead) store_.give_back(slot);
  if (lists_) {
    GYR_TRY(lists_->read(&rest, runtime_.get(), name));
    options_.lists = lists_->wanted();
    return read_tuned();
  }
  if (!graph_) return {};

  if (links.size() != n * graph_->width) return corrupt("the number of links does not fit the slots");
  bool any_dead = false;
  for (uint64_t i = 0; i < links.size(); i++) {
    bool first = i % graph_->width == 0;
    if (links[i] == kNone) continue;
    if (links[i] < n && !store_.is_alive(links[i])) any_dead = true;
    if (links[i] >= n || links[i] == i / graph_->width) return corrupt("a link leads out of the index or to itself");
    if (!first && links[i - 1] == kNone) return corrupt("a node's links have a gap");
  }
  for (auto& p : pivots) {
    if (p.size() > Graph::kMostPivots) return corrupt("too many pivots");
    for (uint32_t slot : p)
      if (slot >= n)
        return corrupt("a pivot lies out of the index");
      else
        any_dead = any_dead || !store_.is_alive(slot);
  }
  if (any_dead && changes_ == 0) changes_ = 1;  // compaction counts on it
  if (store_.count() && pivots[1].empty()) return corrupt("the graph has no pivots");
  graph_->links.assign(links.begin(), links.end());
  graph_->top_pivots.assign(pivots[0].begin(), pivots[0].end());
  graph_->random_pivots.assign(pivots[1].begin(), pivots[1].end());
  return {};
}

}  // namespace index
}  // namespace gyr
