// gyr/cache.h and gyr/index.h with every allocation failing once.
#include <fstream>

#include "tests/support/source.h"
#include "tests/fault/world.h"

namespace gyr::test {
namespace {

constexpr float kRows[] = {1, 2, 3, 4, 5, 6};
constexpr int64_t kKeys[] = {10, 20, 30};

CacheHandle cache_of(const Fault& f, bool filled = true) {
  gyr_cache_options o = {};
  o.struct_size = sizeof o;
  o.dim = 2;
  CacheHandle c;
  GYR_SETUP(gyr_cache_create(World::of(f).runtime(), &o, c.out(), err));
  if (filled) GYR_SETUP(gyr_cache_put(c, kKeys, kRows, 3, err));
  return c;
}

uint64_t rows_in(const gyr_cache* c) {
  gyr_cache_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_cache_get_info(c, &info, err));
  return info.rows;
}

float first_of(const gyr_cache* c, int64_t key) {
  float row[2] = {-1, -1};
  GYR_SETUP(gyr_cache_get(c, &key, 1, row, nullptr, err));
  return row[0];
}

FAULT_SCENARIO(gyr_cache_create) {
  gyr_runtime* runtime = World::of(f).runtime();
  gyr_cache_options o = {};
  o.struct_size = sizeof o;
  o.dim = 2;
  o.miss = GYR_CACHE_MISS_DEFAULT;
  o.default_row = kRows;
  CacheHandle c;
  f.call([&](gyr_error* err) { return gyr_cache_create(runtime, &o, c.out(), err); }, c.out());
  EXPECT_EQ(first_of(c, 1), 1);
}

FAULT_VARIANT(gyr_cache_create, dense) {
  gyr_runtime* runtime = World::of(f).runtime();
  gyr_cache_options o = {};
  o.struct_size = sizeof o;
  o.dim = 2;
  o.keys = GYR_CACHE_DENSE;
  o.capacity = 100;
  CacheHandle c;
  f.call([&](gyr_error* err) { return gyr_cache_create(runtime, &o, c.out(), err); }, c.out());
  EXPECT_EQ(first_of(c, 1), 0);
}

FAULT_SCENARIO(gyr_cache_put) {
  CacheHandle c = cache_of(f);
  std::vector<int64_t> keys;
  std::vector<float> rows;
  for (int64_t i = 0; i < 200; i++) keys.push_back(i), rows.push_back(float(i)), rows.push_back(0);
  f.call([&](gyr_error* err) { return gyr_cache_put(c, keys.data(), rows.data(), keys.size(), err); });
  EXPECT_EQ(rows_in(c), 200u);
  EXPECT_EQ(first_of(c, 199), 199);
  EXPECT_EQ(first_of(c, 10), 10);
}

FAULT_SCENARIO(gyr_cache_remove) {
  CacheHandle c = cache_of(f);
  uint64_t removed = 99;
  f.call([&](gyr_error* err) { return gyr_cache_remove(c, kKeys, 2, &removed, err); }, &removed);
  EXPECT_EQ(rows_in(c), 1u);
  EXPECT_EQ(first_of(c, 30), 5);
}

FAULT_SCENARIO(gyr_cache_get) {
  CacheHandle c = cache_of(f);
  float out[6] = {};
  uint8_t status[3] = {9, 9, 9};
  f.call([&](gyr_error* err) { return gyr_cache_get(c, kKeys, 3, out, status, err); });
  EXPECT_EQ(std::vector<float>(out, out + 6), std::vector<float>(kRows, kRows + 6));
}

FAULT_SCENARIO(gyr_cache_pool) {
  CacheHandle c = cache_of(f);
  const int64_t offsets[] = {0, 2, 3};
  float out[4] = {};
  f.call([&](gyr_error* err) { return gyr_cache_pool(c, kKeys, offsets, 2, GYR_POOLING_SUM, out, nullptr, err); });
  EXPECT_EQ(std::vector<float>(out, out + 4), (std::vector<float>{4, 6, 5, 6}));
}

FAULT_SCENARIO(gyr_cache_pool_weighted) {
  CacheHandle c = cache_of(f);
  const int64_t offsets[] = {0, 2, 3};
  const float weights[] = {2, 1, 3};
  float out[4] = {};
  f.call([&](gyr_error* err) {
    return gyr_cache_pool_weighted(c, kKeys, weights, offsets, 2, GYR_POOLING_SUM, out, nullptr, err);
  });
  EXPECT_EQ(std::vector<float>(out, out + 4), (std::vector<float>{5, 8, 15, 18}));
}

FAULT_SCENARIO(gyr_cache_get_info) {
  CacheHandle c = cache_of(f);
  gyr_cache_info info = {};
  info.struct_size = sizeof info;
  f.call([&](gyr_error* err) { return gyr_cache_get_info(c, &info, err); }, &info);
  EXPECT_EQ(info.rows, 3u);
}

gyr_status fetch_rows(uintptr_t, const int64_t* keys, uint64_t n, void* rows, uint8_t* found, int64_t) {
  for (uint64_t i = 0; i < n; i++) {
    static_cast<float*>(rows)[2 * i] = static_cast<float*>(rows)[2 * i + 1] = float(keys[i]);
    found[i] = GYR_TIER_FOUND;
  }
  return GYR_OK;
}
gyr_cache_tier below() {
  gyr_cache_tier t = {};
  t.struct_size = sizeof t;
  t.fetch = fetch_rows;
  t.put = [](uintptr_t, const int64_t*, const void*, uint64_t) -> gyr_status { return GYR_OK; };
  t.remove = [](uintptr_t, const int64_t*, uint64_t) -> gyr_status { return GYR_OK; };
  return t;
}
gyr_cache_tiers tiers(const gyr_cache_tier* tier, uint64_t most = 50) {
  gyr_cache_tiers t = {};
  t.struct_size = sizeof t;
  t.below = tier;
  t.max_rows = most;
  return t;
}
CacheHandle tiered(const Fault& f, gyr_cache_policy policy = GYR_CACHE_CLOCK) {
  gyr_cache_tier tier = below();
  gyr_cache_tiers t = tiers(&tier);
  t.policy = policy;
  gyr_cache_options o = {};
  o.struct_size = sizeof o;
  o.dim = 2;
  o.tiers = &t;
  CacheHandle c;
  GYR_SETUP(gyr_cache_create(World::of(f).runtime(), &o, c.out(), err));
  return c;
}

FAULT_VARIANT(gyr_cache_create, tiered) {
  gyr_runtime* runtime = World::of(f).runtime();
  gyr_cache_tier tier = below();
  gyr_cache_tiers t = tiers(&tier);
  t.policy = GYR_CACHE_TINYLFU;
  gyr_cache_options o = {};
  o.struct_size = sizeof o;
  o.dim = 2;
  o.tiers = &t;
  CacheHandle c;
  f.call([&](gyr_error* err) { return gyr_cache_create(runtime, &o, c.out(), err); }, c.out());
  EXPECT_EQ(first_of(c, 7), 7);
}

FAULT_VARIANT(gyr_cache_get, tiered) {
  CacheHandle c = tiered(f, GYR_CACHE_TINYLFU);
  std::vector<int64_t> keys;
  for (int64_t i = 0; i < 80; i++) keys.push_back(i);
  std::vector<float> out(160);
  f.call([&](gyr_error* err) { return gyr_cache_get(c, keys.data(), keys.size(), out.data(), nullptr, err); });
  for (size_t i = 0; i < keys.size(); i++) EXPECT_EQ(out[2 * i], float(i));
  EXPECT_LE(rows_in(c), 50u);
  EXPECT_EQ(first_of(c, 999), 999);
}

FAULT_VARIANT(gyr_cache_pool, tiered) {
  CacheHandle c = tiered(f);
  const int64_t offsets[] = {0, 2, 3};
  float out[4] = {};
  f.call([&](gyr_error* err) { return gyr_cache_pool(c, kKeys, offsets, 2, GYR_POOLING_SUM, out, nullptr, err); });
  EXPECT_EQ(std::vector<float>(out, out + 4), (std::vector<float>{30, 30, 30, 30}));
}

FAULT_VARIANT(gyr_cache_put, tiered) {
  CacheHandle c = tiered(f);
  f.call([&](gyr_error* err) { return gyr_cache_put(c, kKeys, kRows, 3, err); });
  EXPECT_EQ(first_of(c, 20), 3);
}

FAULT_VARIANT(gyr_cache_remove, tiered) {
  CacheHandle c = tiered(f);
  GYR_SETUP(gyr_cache_put(c, kKeys, kRows, 3, err));
  f.call([&](gyr_error* err) { return gyr_cache_remove(c, kKeys, 3, nullptr, err); });
  EXPECT_EQ(rows_in(c), 0u);
}

FAULT_SCENARIO(gyr_cache_apply) {
  CacheHandle c = cache_of(f);
  const int64_t gone = 30;
  gyr_cache_delta d = {};
  d.struct_size = sizeof d;
  d.source = "a stream with a name that needs memory of its own";
  d.offset = 4;
  d.keys = kKeys;
  d.rows = kRows + 2;
  d.n = 2;
  d.removed = &gone;
  d.n_removed = 1;
  uint32_t applied = 9;
  f.call([&](gyr_error* err) { return gyr_cache_apply(c, &d, &applied, err); }, &applied);
  EXPECT_EQ(applied, 1u);
  EXPECT_EQ(rows_in(c), 2u);
  EXPECT_EQ(first_of(c, 10), 3);
}

FAULT_SCENARIO(gyr_cache_get_offset) {
  CacheHandle c = cache_of(f);
  gyr_cache_delta d = {};
  d.struct_size = sizeof d;
  d.source = "s";
  d.offset = 4;
  GYR_SETUP(gyr_cache_apply(c, &d, nullptr, err));
  uint64_t offset = 0;
  f.call([&](gyr_error* err) { return gyr_cache_get_offset(c, "s", &offset, err); }, &offset);
  EXPECT_EQ(offset, 4u);
}

FAULT_SCENARIO(gyr_cache_publish) {
  CacheHandle c = cache_of(f), aside = cache_of(f, false);
  f.call([&](gyr_error* err) { return gyr_cache_publish(c, aside, err); });
  EXPECT_EQ(rows_in(c), 0u);
  EXPECT_EQ(rows_in(aside), 3u);
}

FAULT_SCENARIO(gyr_cache_warm) {
  CacheHandle c = tiered(f);
  uint64_t loaded = 99;
  f.call([&](gyr_error* err) { return gyr_cache_warm(c, kKeys, 3, &loaded, nullptr, err); }, &loaded);
  EXPECT_LE(rows_in(c), 3u);  // a row that there was no memory for did not stay
  EXPECT_EQ(first_of(c, 30), 30);
}

FAULT_SCENARIO(gyr_cache_save) {
  World& w = World::of(f);
  CacheHandle c = tiered(f), opened;
  GYR_SETUP(gyr_cache_put(c, kKeys, kRows, 3, err));
  std::string path = w.path("cache.gyr");
  f.call([&](gyr_error* err) { return gyr_cache_save(c, path.c_str(), err); });
  GYR_SETUP(gyr_cache_open(w.runtime(), path.c_str(), nullptr, opened.out(), err));
  EXPECT_EQ(first_of(opened, 20), 3);
}

FAULT_SCENARIO(gyr_cache_open) {
  World& w = World::of(f);
  std::string path = w.path("cache.gyr");
  GYR_SETUP(gyr_cache_save(cache_of(f), path.c_str(), err));
  gyr_runtime* runtime = w.runtime();
  gyr_cache_tier tier = below();
  gyr_cache_tiers t = tiers(&tier);
  CacheHandle opened;
  f.call([&](gyr_error* err) { return gyr_cache_open(runtime, path.c_str(), &t, opened.out(), err); }, opened.out());
  EXPECT_EQ(first_of(opened, 20), 3);
}

FAULT_SCENARIO(gyr_cache_destroy) {
  CacheHandle c = cache_of(f);
  f.run([&] { gyr_cache_destroy(c.release()); });
}

gyr_index_options index_options(gyr_index_kind kind) {
  gyr_index_options o = {};
  o.struct_size = sizeof o;
  o.dim = 2;
  o.kind = kind;
  o.metric = GYR_METRIC_L2;
  o.degree = kind == GYR_INDEX_GRAPH ? 4 : 0;
  return o;
}

// n points on a line; ids count from 1.
struct Line {
  std::vector<int64_t> ids;
  std::vector<float> at;
  explicit Line(int n, int from = 0) {
    for (int i = from; i < from + n; i++) ids.push_back(i + 1), at.push_back(float(i)), at.push_back(0);
  }
};

IndexHandle index_of(const Fault& f, gyr_index_kind kind, int n, gyr_stored stored = GYR_STORED_DEFAULT) {
  gyr_index_options o = index_options(kind);
  o.stored = stored;
  IndexHandle index;
  GYR_SETUP(gyr_index_create(World::of(f).runtime(), &o, index.out(), err));
  Line line(n);
  GYR_SETUP(gyr_index_upsert(index, line.ids.data(), line.at.data(), line.ids.size(), nullptr, err));
  return index;
}

// The two ids nearest to each of n points between the line's.
struct Search {
  std::vector<float> queries;
  std::vector<int64_t> ids;
  std::vector<float> scores;
  std::vector<uint32_t> counts;
  gyr_search_args args = {};
  explicit Search(int n) : ids(size_t(n) * 2), scores(size_t(n) * 2), counts(size_t(n)) {
    for (int i = 0; i < n; i++) queries.push_back(float(i) + 0.25f), queries.push_back(0);
    args.struct_size = sizeof args;
    args.k = 2;
    args.queries = queries.data();
    args.n = uint64_t(n);
    args.out_ids = ids.data();
    args.out_scores = scores.data();
    args.out_counts = counts.data();
  }
  void expect_right() const {
    for (size_t i = 0; i < counts.size(); i++) {
      EXPECT_EQ(counts[i], 2u);
      EXPECT_EQ(ids[2 * i], int64_t(i) + 1);
      EXPECT_EQ(ids[2 * i + 1], int64_t(i) + 2);
    }
  }
};

void expect_searchable(const gyr_index* index, int queries) {
  Search s(queries);
  GYR_SETUP(gyr_index_search(index, &s.args, nullptr, err));
  s.expect_right();
}

uint64_t count_of(const gyr_index* index) {
  gyr_index_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_index_get_info(index, &info, err));
  return info.count;
}

FAULT_SCENARIO(gyr_index_create) {
  gyr_runtime* runtime = World::of(f).runtime();
  gyr_index_options o = index_options(GYR_INDEX_GRAPH);
  o.reserve = 100;
  IndexHandle index;
  f.call([&](gyr_error* err) { return gyr_index_create(runtime, &o, index.out(), err); }, index.out());
  EXPECT_EQ(count_of(index), 0u);
}

FAULT_SCENARIO(gyr_index_estimate) {
  gyr_index_options o = index_options(GYR_INDEX_GRAPH);
  uint64_t bytes = 9, peak = 9;
  f.call([&](gyr_error* err) { return gyr_index_estimate(&o, 1000, 2, &bytes, &peak, err); }, &bytes, &peak);
  EXPECT_GT(bytes, 1000u * 8);
  EXPECT_GT(peak, bytes);
}

void upsert(Fault& f, gyr_index_kind kind, gyr_stored stored = GYR_STORED_DEFAULT) {
  IndexHandle index = index_of(f, kind, 5, stored);
  Line more(40, 3);  // replaces two, adds the rest
  f.call([&](gyr_error* err) {
    return gyr_index_upsert(index, more.ids.data(), more.at.data(), more.ids.size(), nullptr, err);
  });
  EXPECT_EQ(count_of(index), 43u);
  expect_searchable(index, 40);
}

FAULT_SCENARIO(gyr_index_upsert) { upsert(f, GYR_INDEX_GRAPH); }
FAULT_VARIANT(gyr_index_upsert, exact) { upsert(f, GYR_INDEX_EXACT); }
FAULT_VARIANT(gyr_index_upsert, int16) { upsert(f, GYR_INDEX_GRAPH, GYR_STORED_INT16); }
FAULT_VARIANT(gyr_index_upsert, exact_int8) { upsert(f, GYR_INDEX_EXACT, GYR_STORED_INT8); }
FAULT_VARIANT(gyr_index_upsert, ivf) { upsert(f, GYR_INDEX_IVF); }

void upsert_arrow(Fault& f, gyr_index_kind kind) {
  IndexHandle index = index_of(f, kind, 5);
  Line more(40, 3);
  Source rows;
  rows.ints("id", more.ids).vectors("vector", 2, more.at);
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_index_upsert_arrow(index, &stream, "id", "vector", nullptr, err), &stream);
  });
  EXPECT_EQ(count_of(index), 43u);
  expect_searchable(index, 40);
}

FAULT_SCENARIO(gyr_index_upsert_arrow) { upsert_arrow(f, GYR_INDEX_EXACT); }
FAULT_VARIANT(gyr_index_upsert_arrow, ivf) { upsert_arrow(f, GYR_INDEX_IVF); }

FAULT_SCENARIO(gyr_index_upsert_dlpack) {
  IndexHandle index = index_of(f, GYR_INDEX_EXACT, 5);
  Line more(40, 3);
  const int64_t shape[] = {40, 2};
  struct {  // DLTensor
    void* data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    const int64_t *shape, *strides;
    uint64_t byte_offset;
  } tensor = {more.at.data(), 1, 0, 2, 2, 32, 1, shape, nullptr, 0};
  f.call([&](gyr_error* err) { return gyr_index_upsert_dlpack(index, more.ids.data(), &tensor, 40, nullptr, err); });
  EXPECT_EQ(count_of(index), 43u);
  expect_searchable(index, 40);
}

FAULT_SCENARIO(gyr_index_upsert_file) {
  IndexHandle index = index_of(f, GYR_INDEX_EXACT, 5);
  Line more(40, 3);
  const std::string path = World::of(f).path("line.fvecs");
  {
    std::ofstream file(path, std::ios::binary);
    const int32_t dim = 2;
    for (size_t i = 0; i < 40; i++)
      file.write(reinterpret_cast<const char*>(&dim), 4).write(reinterpret_cast<const char*>(&more.at[2 * i]), 8);
  }
  f.call(
      [&](gyr_error* err) { return gyr_index_upsert_file(index, path.c_str(), more.ids.data(), 40, 0, nullptr, err); });
  EXPECT_EQ(count_of(index), 43u);
  expect_searchable(index, 40);
}

void remove(Fault& f, gyr_index_kind kind) {
  IndexHandle index = index_of(f, kind, 20);
  const int64_t ids[] = {18, 19, 20, 99};
  uint64_t deleted = 99;
  f.call([&](gyr_error* err) { return gyr_index_delete(index, ids, 4, &deleted, err); }, &deleted);
  EXPECT_EQ(count_of(index), 17u);
  expect_searchable(index, 15);
}

FAULT_SCENARIO(gyr_index_delete) { remove(f, GYR_INDEX_GRAPH); }
FAULT_VARIANT(gyr_index_delete, exact) { remove(f, GYR_INDEX_EXACT); }
FAULT_VARIANT(gyr_index_delete, ivf) { remove(f, GYR_INDEX_IVF); }

void compact(Fault& f, gyr_index_kind kind) {
  IndexHandle index = index_of(f, kind, 40);
  std::vector<int64_t> last;
  for (int64_t id = 20; id <= 40; id++) last.push_back(id);
  GYR_SETUP(gyr_index_delete(index, last.data(), last.size(), nullptr, err));
  f.call([&](gyr_error* err) { return gyr_index_compact(index, nullptr, err); });
  EXPECT_EQ(count_of(index), 19u);
  expect_searchable(index, 15);
}

FAULT_SCENARIO(gyr_index_compact) { compact(f, GYR_INDEX_GRAPH); }
FAULT_VARIANT(gyr_index_compact, exact) { compact(f, GYR_INDEX_EXACT); }
FAULT_VARIANT(gyr_index_compact, ivf) { compact(f, GYR_INDEX_IVF); }

void search(Fault& f, gyr_index_kind kind, bool filter) {
  IndexHandle index = index_of(f, kind, 30);
  uint64_t all = UINT64_MAX;
  Search s(20);
  if (filter) s.args.filter = &all, s.args.filter_bits = 64;
  f.call([&](gyr_error* err) { return gyr_index_search(index, &s.args, nullptr, err); });
  s.expect_right();
}

FAULT_SCENARIO(gyr_index_search) { search(f, GYR_INDEX_GRAPH, false); }
FAULT_VARIANT(gyr_index_search, filtered) { search(f, GYR_INDEX_GRAPH, true); }
FAULT_VARIANT(gyr_index_search, exact) { search(f, GYR_INDEX_EXACT, false); }
FAULT_VARIANT(gyr_index_search, ivf) { search(f, GYR_INDEX_IVF, false); }

// Of ids 1 to 30 twelve are on the list, and one that is none of them.
IndexFilterHandle filter_of(const gyr_index* index) {
  const int64_t ids[] = {99, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
  gyr_index_filter_options o = {};
  o.struct_size = sizeof o;
  o.ids = ids;
  o.n_ids = 13;
  IndexFilterHandle filter;
  GYR_SETUP(gyr_index_filter_create(index, &o, nullptr, filter.out(), err));
  return filter;
}

uint64_t let_through(const gyr_index_filter* filter) {
  gyr_index_filter_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_index_filter_get_info(filter, &info, err));
  return info.count;
}

FAULT_VARIANT(gyr_index_search, selected) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  IndexFilterHandle filter = filter_of(index);
  Search s(20);
  s.args.selection = filter;
  f.call([&](gyr_error* err) { return gyr_index_search(index, &s.args, nullptr, err); });
  EXPECT_EQ(s.ids[0], 2);
}

void search_listed(Fault& f, bool each) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  Search s(20);
  const int64_t ids[] = {5, 6};
  std::vector<int64_t> offsets(21, 2);
  offsets[0] = 0;
  s.args.allowed_ids = ids;
  s.args.n_allowed_ids = 2;
  if (each) s.args.allowed_offsets = offsets.data();
  f.call([&](gyr_error* err) { return gyr_index_search(index, &s.args, nullptr, err); });
  EXPECT_EQ(s.ids[0], 5);
  EXPECT_EQ(s.counts[19], each ? 0u : 2u);
}

FAULT_VARIANT(gyr_index_search, listed) { search_listed(f, false); }
FAULT_VARIANT(gyr_index_search, listed_each) { search_listed(f, true); }

FAULT_SCENARIO(gyr_index_filter_create) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  const int64_t ids[] = {1, 2, 77};
  gyr_index_filter_options o = {};
  o.struct_size = sizeof o;
  o.ids = ids;
  o.n_ids = 3;
  IndexFilterHandle filter;
  f.call([&](gyr_error* err) { return gyr_index_filter_create(index, &o, nullptr, filter.out(), err); }, filter.out());
  EXPECT_EQ(let_through(filter), 2u);
}

FAULT_VARIANT(gyr_index_filter_create, condition) {
  World& w = World::of(f);
  gyr_index* index = w.index();
  gyr_index_filter_options o = {};
  o.struct_size = sizeof o;
  o.table = w.items();
  o.condition = "year >= 1993 and item_id < 508 and genre != 'none at all, at length'";
  IndexFilterHandle filter;
  f.call([&](gyr_error* err) { return gyr_index_filter_create(index, &o, nullptr, filter.out(), err); }, filter.out());
  EXPECT_EQ(let_through(filter), 5u);
}

FAULT_SCENARIO(gyr_index_filter_refresh) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  IndexFilterHandle filter = filter_of(index);
  Line more(1, 98);
  GYR_SETUP(gyr_index_upsert(index, more.ids.data(), more.at.data(), 1, nullptr, err));
  f.after_failure([&] { EXPECT_EQ(let_through(filter), 12u); });
  f.call([&](gyr_error* err) { return gyr_index_filter_refresh(filter, nullptr, err); });
  EXPECT_EQ(let_through(filter), 13u);
}

FAULT_SCENARIO(gyr_index_filter_get_info) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  IndexFilterHandle filter = filter_of(index);
  gyr_index_filter_info info = {};
  info.struct_size = sizeof info;
  f.call([&](gyr_error* err) { return gyr_index_filter_get_info(filter, &info, err); }, &info);
  EXPECT_EQ(info.count, 12u);
}

FAULT_SCENARIO(gyr_index_filter_destroy) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  IndexFilterHandle filter = filter_of(index);
  f.run([&] { gyr_index_filter_destroy(filter.release()); });
  EXPECT_EQ(count_of(index), 30u);
}

gyr_evaluate_args evaluation() {
  gyr_evaluate_args a = {};
  a.struct_size = sizeof a;
  a.k = 2;
  return a;
}

FAULT_SCENARIO(gyr_index_evaluate) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  gyr_evaluate_args a = evaluation();
  const uint32_t efforts[] = {0, 16};
  gyr_search_quality out[2] = {};
  out[0].struct_size = sizeof out[0];
  f.call([&](gyr_error* err) { return gyr_index_evaluate(index, &a, efforts, 2, out, nullptr, err); }, &out);
  EXPECT_EQ(out[0].recall, 1);
  EXPECT_EQ(out[1].effort, 16u);
}

FAULT_SCENARIO(gyr_index_tune) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 30);
  gyr_evaluate_args a = evaluation();
  gyr_search_quality out = {};
  out.struct_size = sizeof out;
  f.call([&](gyr_error* err) { return gyr_index_tune(index, &a, 0.9, 1, &out, nullptr, err); }, &out);
  EXPECT_EQ(out.effort, 1u);
}

FAULT_SCENARIO(gyr_index_slots) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 3);
  const int64_t ids[] = {3, 77};
  int64_t slots[] = {-5, -5};
  f.call([&](gyr_error* err) { return gyr_index_slots(index, ids, 2, slots, err); });
  EXPECT_EQ(slots[0], 2);
  EXPECT_EQ(slots[1], -1);
}

FAULT_SCENARIO(gyr_index_get_info) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 3);
  gyr_index_info info = {};
  info.struct_size = sizeof info;
  f.call([&](gyr_error* err) { return gyr_index_get_info(index, &info, err); }, &info);
  EXPECT_EQ(info.count, 3u);
}

FAULT_SCENARIO(gyr_index_save) {
  World& w = World::of(f);
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 20);
  std::string path = w.path("index.gyr");
  f.call([&](gyr_error* err) { return gyr_index_save(index, path.c_str(), err); });
  EXPECT_EQ(w.files(), std::vector<std::string>{"index.gyr"});
  IndexHandle opened;
  GYR_SETUP(gyr_index_open(w.runtime(), path.c_str(), opened.out(), err));
  expect_searchable(opened, 15);
}

void open(Fault& f, gyr_index_kind kind, gyr_stored stored = GYR_STORED_DEFAULT) {
  World& w = World::of(f);
  std::string path = w.path("index.gyr");
  if (w.files().empty()) GYR_SETUP(gyr_index_save(index_of(f, kind, 20, stored), path.c_str(), err));
  gyr_runtime* runtime = w.runtime();
  IndexHandle opened;
  f.call([&](gyr_error* err) { return gyr_index_open(runtime, path.c_str(), opened.out(), err); }, opened.out());
  expect_searchable(opened, 15);
}

FAULT_SCENARIO(gyr_index_open) { open(f, GYR_INDEX_GRAPH); }
FAULT_VARIANT(gyr_index_open, exact) { open(f, GYR_INDEX_EXACT); }
FAULT_VARIANT(gyr_index_open, int16) { open(f, GYR_INDEX_GRAPH, GYR_STORED_INT16); }
FAULT_VARIANT(gyr_index_open, ivf) { open(f, GYR_INDEX_IVF); }

FAULT_SCENARIO(gyr_index_destroy) {
  IndexHandle index = index_of(f, GYR_INDEX_GRAPH, 20);
  f.run([&] { gyr_index_destroy(index.release()); });
}

}  // namespace
}  // namespace gyr::test
