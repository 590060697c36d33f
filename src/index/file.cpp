// An index in a container: one section of kind "IDX2", whose large arrays are those of memory and are used where they
// lie. Layout: docs/index.md. Sections of kind "IDX1", of earlier builds, are copied.
//
// The container's checksums are held against all of it when it is opened, but the large arrays are not looked through:
// searches never trust them with more than an answer. Before the first change they are (settle()).
#include <cmath>
#include <string>

#include "base/bytes.h"
#include "index/vector_index.h"

namespace gyr {

Result<std::shared_ptr<Index>> Index::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name) {
  const bool earlier = file.has(name, "IDX1");
  GYR_ASSIGN(auto bytes, file.view(name, earlier ? "IDX1" : "IDX2"));
  std::string where(name);
  ByteReader in(bytes, where.c_str());
  gyr_index_options o{};
  GYR_TRY(in.get(&o.dim));
  GYR_TRY(in.get(&o.metric));
  GYR_TRY(in.get(&o.kind));
  GYR_TRY(in.get(&o.degree));
  GYR_TRY(in.get(&o.build_effort));
  uint32_t stored = 0;
  GYR_TRY(in.get(&stored));
  o.stored = stored ? gyr_stored(stored) : GYR_STORED_FP32;  // as the first files have it
  GYR_TRY(in.get(&o.seed));
  gyr_index_options complete = o;
  Status s = index::complete_options(&complete);
  if (!s.ok()) return fail(GYR_E_CORRUPT, "index", "%s: %s", where.c_str(), s.message());
  if (earlier && stored != 0)
    return fail(GYR_E_FORMAT_TOO_OLD, "index", "%s: vectors of a stored precision are read from IDX2 only; build again",
                where.c_str());
  if (std::memcmp(&o, &complete, sizeof o) != 0 || stored == uint32_t(GYR_STORED_FP32) ||
      (earlier && o.kind == GYR_INDEX_IVF))
    return fail(GYR_E_CORRUPT, "index", "%s: an option is zero that a saved index always has", where.c_str());
  auto index = std::make_shared<index::VectorIndex>(std::move(runtime), complete);
  if (earlier)
    GYR_TRY(index->read_idx1(&in, bytes, where.c_str()));
  else
    GYR_TRY(index->read(&in, file.shared_from_this(), where.c_str()));
  return std::shared_ptr<Index>(std::move(index));
}

namespace index {
namespace {

constexpr size_t kAlign = 64;

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
  GYR_TRY(in->get_array(&axes));
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

Status corrupt_file(const char* what) { return fail(GYR_E_CORRUPT, "index", "the index's file: %s", what); }

}  // namespace

Status VectorIndex::save(ContainerWriter* file, std::string_view name) const {
  const auto memory = runtime_->memory();
  std::lock_guard writer(writer_);  // searches and deletions go on
  Array<uint64_t> alive{Aligned<uint64_t>(memory)};
  ByteWriter lists;
  uint64_t changes = 0;
  {  // what deletions change, all at one time
    Gate::Reader reader(gate_);
    alive = store_.alive_now();
    changes = changes_;
    if (lists_) lists_->save(&lists);
  }
  Array<int64_t> ids(store_.ids.size(), 0, Aligned<int64_t>(memory));  // dead ones look the same in every file
  each_bit(alive, [&](uint32_t slot) { ids[slot] = store_.ids[slot]; });

  ByteWriter out;
  out.put(options_.dim);
  out.put(options_.metric);
  out.put(options_.kind);
  out.put(options_.degree);
  out.put(options_.build_effort);
  out.put(options_.stored == GYR_STORED_FP32 ? uint32_t(0) : uint32_t(options_.stored));
  out.put(options_.seed);
  out.put(options_.kind == GYR_INDEX_EXACT ? uint64_t(0) : tuned_.load());
  out.put(graph_ ? changes : uint64_t(0));
  if (graph_) {
    put_learnt(*store_.codes, &out);
    out.put_array(graph_->top_pivots);
    out.put_array(graph_->random_pivots);
  }
  if (store_.vectors.own_codes()) put_learnt(*store_.vectors.own_codes(), &out);
  if (lists_) out.put_array(lists.bytes());
  IdMap map(memory);  // the same for every history of the index
  map.reserve(ids.size(), nullptr);
  (void)map.fill(ids, alive);
  uint64_t size = out.bytes().size() + ids.size() * 8 + alive.size() * 8 + map.bytes();
  store_.each_kept_array([&](const auto* array, uint64_t) { size += array->size() * sizeof(*array->data()) + kAlign; });
  out.bytes().reserve(size + (graph_ ? graph_->links.size() * 4 : 0) + 16 * kAlign);
  out.put_array(ids, kAlign);
  out.put_array(alive, kAlign);
  out.put_array(map.words(), kAlign);
  store_.each_kept_array([&](const auto* array, uint64_t) { out.put_array(*array, kAlign); });
  if (graph_) out.put_array(graph_->links, kAlign);
  return file->add(name, "IDX2", std::move(out.bytes()));
}

Status VectorIndex::read(ByteReader* in, std::shared_ptr<const Container> file, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  uint64_t tuned = 0, changes = 0;
  GYR_TRY(in->get(&tuned));
  GYR_TRY(in->get(&changes));
  const uint64_t k = tuned >> 32, effort = uint32_t(tuned);
  if (tuned && (options_.kind == GYR_INDEX_EXACT || k < 1 || k > kMostK || effort < 1 || effort > kMostEffort))
    return corrupt("the tuned effort is none");
  if (changes > (graph_ ? uint64_t(1) << 40 : 0)) return corrupt("the number of changes is none");
  tuned_ = tuned;
  changes_ = changes;
  std::span<const uint32_t> pivots[2];
  if (graph_) {
    GYR_TRY(get_learnt(in, name, &*store_.codes));
    GYR_TRY(in->get_array(&pivots[0]));
    GYR_TRY(in->get_array(&pivots[1]));
  }
  if (Codes* own = store_.vectors.own_codes()) GYR_TRY(get_learnt(in, name, own));
  std::span<const uint8_t> lists;
  if (lists_) GYR_TRY(in->get_array(&lists));

  // An array of a file, where it lies if that will do.
  const auto take = [&](auto* array, auto wanted) -> Status {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(array->data())>>;
    std::span<const T> found;
    GYR_TRY(in->get_array(&found, kAlign));
    if (!wanted(found.size())) return corrupt("the arrays do not fit together");
    if (reinterpret_cast<uintptr_t>(found.data()) % kAlign == 0)
      *array = Array<T>::adopt({const_cast<T*>(found.data()), found.size()}, array->get_allocator());
    else
      array->assign(found.begin(), found.end());
    return {};
  };
  GYR_TRY(take(&store_.ids, [](uint64_t n) { return n < kMaxSlots; }));
  const uint64_t n = store_.ids.size();
  GYR_TRY(take(&store_.alive, [&](uint64_t size) { return size == div_up(n, 64); }));
  if (n % 64 && store_.alive.back() >> (n % 64)) return corrupt("an alive bit lies beyond the last slot");
  Array<uint32_t> words{Aligned<uint32_t>(runtime_->memory())};
  GYR_TRY(take(&words, [&](uint64_t size) { return size >= n && size <= 4 * n + 64; }));
  Status taken;
  store_.each_kept_array([&](auto* array, uint64_t each) {
    if (taken.ok()) taken = take(array, [&](uint64_t size) { return size == n * each; });
  });
  GYR_TRY(std::move(taken));
  if (store_.codes) store_.codes->find_steps();
  if (graph_) GYR_TRY(take(&graph_->links, [&](uint64_t size) { return size == n * graph_->width; }));
  GYR_TRY(in->finish());
  file_ = std::move(file);
  settled_ = false;

  store_.adopt_bits();
  if (!store_.map.adopt(std::move(words), store_.ids, store_.alive)) GYR_TRY(make_map(&store_.map));
  if (lists_) {
    GYR_TRY(settle());  // what is in the lists is made of the vectors
    ByteReader rest(lists, name);
    GYR_TRY(lists_->read(&rest, runtime_.get(), name));
    GYR_TRY(rest.finish());
    options_.lists = lists_->wanted();
  }
  if (!graph_) return {};
  return take_pivots(pivots[0], pivots[1], name);
}

Status VectorIndex::read_idx1(ByteReader* in, std::span<const uint8_t> section, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  std::span<const int64_t> ids;
  std::span<const uint64_t> alive;
  GYR_TRY(in->get_array(&ids));
  GYR_TRY(in->get_array(&alive));
  const uint64_t n = ids.size(), row_bytes = uint64_t(store_.dim) * 4;
  if (n >= kMaxSlots || alive.size() != div_up(n, 64)) return corrupt("ids and alive bits do not fit together");
  if (n % 64 && alive.back() >> (n % 64)) return corrupt("an alive bit lies beyond the last slot");
  if (align_up(n * row_bytes, 8) > in->left()) return corrupt("vectors are cut off");
  const uint8_t* rows = section.data() + (section.size() - in->left());
  ByteReader rest(section.subspan(section.size() - in->left() + align_up(n * row_bytes, 8)), name);
  std::span<const uint32_t> links, pivots[2];
  if (graph_) {
    GYR_TRY(rest.get_array(&links));
    GYR_TRY(rest.get_array(&pivots[0]));
    GYR_TRY(rest.get_array(&pivots[1]));
    if (links.size() != n * graph_->width) return corrupt("the number of links does not fit the slots");
    graph_->links.assign(links.begin(), links.end());
    if (rest.left() > 0) GYR_TRY(get_learnt(&rest, name, &*store_.codes));  // not in the first files
    uint64_t tuned = 0;                                                     // for what the engine of then was
    if (rest.left() > 0) GYR_TRY(rest.get(&tuned));
  }
  GYR_TRY(rest.finish());
  store_.reserve(n);
  store_.ids.assign(ids.begin(), ids.end());
  store_.alive.assign(alive.begin(), alive.end());
  store_.each_array([&](auto* array, uint64_t each) { array->resize(n * each); });
  Array<float> row(store_.stride, 0, Aligned<float>(runtime_->memory()));
  for (uint64_t slot = 0; slot < n; slot++) {
    std::memcpy(row.data(), rows + slot * row_bytes, row_bytes);
    if (!plausible(row.data(), store_.dim, store_.metric, store_.stored))
      return corrupt("a vector is not finite, too long, or not normalised");
    store_.write_coded_row(uint32_t(slot), row.data());
  }
  if (store_.codes) store_.codes->find_steps();
  store_.adopt_bits();
  GYR_TRY(make_map(&store_.map));
  if (!graph_) return {};
  GYR_TRY(check_content());
  GYR_TRY(take_pivots(pivots[0], pivots[1], name));
  changes_ = graph_->has_dead_links();  // compaction counts on it
  return {};
}

Status VectorIndex::take_pivots(std::span<const uint32_t> top, std::span<const uint32_t> random, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  for (auto pivots : {top, random}) {
    if (pivots.size() > Graph::kMostPivots) return corrupt("too many pivots");
    for (uint32_t slot : pivots)
      if (slot >= store_.slots()) return corrupt("a pivot lies out of the index");
  }
  if (store_.count() && random.empty()) return corrupt("the graph has no pivots");
  graph_->top_pivots.assign(top.begin(), top.end());
  graph_->random_pivots.assign(random.begin(), random.end());
  return {};
}

Status VectorIndex::make_map(IdMap* map) const {
  IdMap made(runtime_->memory());
  made.reserve(store_.slots(), nullptr);
  if (!made.fill(store_.ids, store_.alive)) return corrupt_file("an id occurs twice");
  *map = std::move(made);
  return {};
}

Status VectorIndex::check_content() const {
  const auto memory = runtime_->memory();
  constexpr uint64_t kAtOnce = 4096;
  std::atomic<const char*> wrong{nullptr};
  runtime_->parallel_for(div_up(store_.slots(), kAtOnce), [&](uint64_t part) {
    Array<float> scratch(store_.stride, 0, Aligned<float>(memory));
    for (uint64_t i = part * kAtOnce; i < std::min<uint64_t>((part + 1) * kAtOnce, store_.slots()); i++) {
      const auto slot = uint32_t(i);
      if (store_.is_alive(slot) &&
          !plausible(store_.read(slot, scratch.data()), store_.dim, store_.metric, store_.stored))
        wrong = "a vector is not finite, too long, or not normalised";
      if (graph_ && !graph_->plausible_links(slot))
        wrong = "a node's links lead out of the index, to itself, or have a gap";
    }
  });
  if ((store_.codes && !store_.codes->plausible()) ||
      (store_.vectors.own_codes() && !store_.vectors.own_codes()->plausible()))
    wrong = "what goes with a code is not finite, or too large";
  return wrong ? corrupt_file(wrong) : Status();
}

Status VectorIndex::settle() {
  if (settled_.load(std::memory_order_acquire)) return {};
  std::lock_guard one(settling_);
  if (settled_.load(std::memory_order_relaxed)) return {};
  GYR_TRY(check_content());
  IdMap map(runtime_->memory());
  GYR_TRY(make_map(&map));
  GYR_TRY(file_->allow_writes());
  std::unique_lock exclusive(gate_);
  std::swap(store_.map, map);
  if (graph_ && changes_ == 0 && graph_->has_dead_links()) changes_ = 1;  // compaction counts on it
  settled_.store(true, std::memory_order_release);
  exclusive.unlock();
  return {};
}

}  // namespace index
}  // namespace gyr
