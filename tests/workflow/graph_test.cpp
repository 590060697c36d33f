// The graph as a whole: fitting in passes, merging, plans, rows, files, hostile input.
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "tests/workflow/common.h"

static std::atomic<int64_t> allocations{0};
[[gnu::noinline]] void* operator new(size_t n) {
  allocations++;
  if (void* p = std::malloc(n ? n : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {  // or the sanitizers bring theirs
  allocations++;
  return std::malloc(n ? n : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace gyr::testing {
namespace {

Batch random_rows(uint64_t seed, int n) {
  Random random(seed);
  Table t;
  Ints ids, r;
  Doubles x;
  Strings s;
  Lists l;
  for (int i = 0; i < n; i++) {
    ids.push_back(int64_t(random.below(50)) * int64_t(random.below(7)) - 20);
    r.push_back(int64_t(random.below(6)));
    x.push_back(random.below(9) == 0 ? NAN : 1000 + random.normal());
    random.below(11) == 0 ? s.push_back(std::nullopt) : s.push_back("v" + std::to_string(random.below(30)));
    Lists::value_type row;
    for (uint64_t k = random.below(4); k > 0; k--) row.push_back("v" + std::to_string(random.below(40)));
    l.push_back(row);
  }
  t.ints("id", ids).ints("r", r).floats("x", x).strings("s", s).lists("l", l);
  return t.batch;
}
const char* const kOps = R"({"op":"Filter","expr":"r >= 1","optional":true},
  {"op":"Categorify","columns":["id"],"freq_threshold":2,"num_buckets":3},
  {"op":"Categorify","columns":["s","l"],"joint":true},
  {"op":"FillMissing","columns":["x"],"value":999.5,"add_binary_cols":true},
  {"op":"Normalize","columns":["x"],"as":["z"]},{"op":"Clip","columns":["z"],"max_value":1.25},
  {"op":"NormalizeMinMax","columns":["z"],"as":["m"]})";

void expect_same(const Batch& a, const Batch& b, double tolerance) {
  ASSERT_EQ(a.names, b.names);
  for (size_t i = 0; i < a.names.size(); i++) {
    EXPECT_EQ(a.columns[i].ints, b.columns[i].ints) << a.names[i];
    EXPECT_EQ(a.columns[i].chars, b.columns[i].chars);
    EXPECT_EQ(a.columns[i].list_offsets, b.columns[i].list_offsets);
    ASSERT_EQ(a.columns[i].floats.size(), b.columns[i].floats.size());
    for (size_t k = 0; k < a.columns[i].floats.size(); k++)
      EXPECT_NEAR(a.columns[i].floats[k], b.columns[i].floats[k], tolerance);
  }
}

TEST(Graph, PassesFollowTheDependencies) {
  auto w = make(graph(random_rows(1, 5), kOps));
  EXPECT_EQ(w->passes_left(), 2u);  // m needs z, which needs moments
  EXPECT_EQ(w->fit_finish().code(), GYR_E_INVALID_STATE);
  EXPECT_EQ(w->plan({}, {}).status().code(), GYR_E_INVALID_STATE);
  Batch b = random_rows(1, 50);
  ASSERT_TRUE(w->fit_batch(b).ok());
  ASSERT_TRUE(w->fit_finish().ok());
  EXPECT_EQ(w->passes_left(), 1u);
  EXPECT_EQ(w->fit_finish().code(), GYR_E_INVALID_STATE);
  ASSERT_TRUE(w->fit_batch(b).ok());
  ASSERT_TRUE(w->fit_finish().ok());
  EXPECT_EQ(w->passes_left(), 0u);
  EXPECT_EQ(w->fit_batch(b).code(), GYR_E_INVALID_STATE);
  EXPECT_EQ(make(graph(b, R"({"op":"LogOp","columns":["x"]})"))->passes_left(), 0u);
}

TEST(Graph, EmptyTableCannotBeFitted) {
  Batch b = random_rows(1, 0);
  auto w = make(graph(b, kOps));
  ASSERT_TRUE(w->fit_batch(b).ok());
  EXPECT_EQ(w->fit_finish().code(), GYR_E_INVALID_STATE);
}

// Any split, merged in any order, learns the same as the whole.
TEST(Graph, MergeEqualsTheWhole) {
  Batch parts[4];
  for (int i = 0; i < 4; i++) parts[i] = random_rows(uint64_t(i) + 10, 40 * i + 1);
  auto whole = make(graph(parts[0], kOps));
  auto make_merged = [&](const std::vector<int>& order) {
    auto w = make(graph(parts[0], kOps));
    while (w->passes_left()) {
      for (int i : order) {
        auto part = std::move(*w->fork());
        EXPECT_TRUE(part->fit_batch(parts[i]).ok());
        EXPECT_TRUE(w->merge(*part).ok());
      }
      EXPECT_TRUE(w->fit_finish().ok());
    }
    return w;
  };
  while (whole->passes_left()) {
    for (auto& p : parts) ASSERT_TRUE(whole->fit_batch(p).ok());
    ASSERT_TRUE(whole->fit_finish().ok());
  }
  Batch probe = random_rows(99, 200);
  Batch want = transform(*whole, probe);
  for (const std::vector<int>& order : {std::vector<int>{0, 1, 2, 3}, {3, 1, 0, 2}, {2, 3, 1, 0}})
    expect_same(transform(*make_merged(order), probe), want, 1e-12 * 1000);
  // Two halves commute to the bit.
  auto half = [&](int a, int b) {
    auto w = make(graph(parts[0], kOps));
    for (int i : {a, b}) {
      auto part = std::move(*w->fork());
      EXPECT_TRUE(part->fit_batch(parts[i]).ok());
      EXPECT_TRUE(w->merge(*part).ok());
    }
    EXPECT_TRUE(w->fit_finish().ok());
    return bytes_of(*w);
  };
  EXPECT_EQ(half(2, 3), half(3, 2));
}

TEST(Graph, MergeRefusesOthers) {
  Batch b = random_rows(1, 50);
  auto w = make(graph(b, kOps)), other_graph = make(graph(b, R"({"op":"Normalize","columns":["x"]})"));
  EXPECT_EQ(w->merge(*other_graph).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(w->merge(*w).code(), GYR_E_INVALID_ARGUMENT);
  auto ahead = make(graph(b, kOps)), elsewhere = make(graph(b, kOps));
  ASSERT_TRUE(ahead->fit_batch(b).ok());
  ASSERT_TRUE(ahead->fit_finish().ok());
  EXPECT_EQ(w->merge(*ahead).code(), GYR_E_INVALID_STATE);
  ASSERT_TRUE(elsewhere->fit_batch(random_rows(2, 50)).ok());
  ASSERT_TRUE(elsewhere->fit_finish().ok());
  EXPECT_EQ(elsewhere->merge(*ahead).code(), GYR_E_INVALID_STATE);
}

TEST(Graph, OnlyWhatIsWantedIsNeeded) {
  Batch b = random_rows(3, 50), only_s = Table().strings("s", {"v1", "v2"}).batch;
  auto w = fitted(b, kOps);
  Batch out = transform(*w, only_s);
  EXPECT_EQ(out.names, std::vector<std::string>{"s"});
  auto plan = w->plan(columns_of(only_s), {"z"});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::string(plan.status().message()).find("\"x\""), std::string::npos);
  EXPECT_EQ(w->plan(columns_of(b), {"nope"}).status().code(), GYR_E_NOT_FOUND);
  Batch wrong = Table().ints("s", {1}).batch;
  EXPECT_EQ(w->plan(columns_of(wrong), {"s"}).status().code(), GYR_E_INVALID_ARGUMENT);
  Batch narrow = Table().ints("id", {1, 2}, GYR_DTYPE_UINT8).batch;
  EXPECT_EQ(transform(*w, narrow, {"id"}).rows, 2);
}

TEST(Graph, WiderIntegersMustFit) {
  auto w = make(R"({"version":1,"inputs":[{"name":"a","dtype":"int8"}]})");
  EXPECT_EQ(transform(*w, Table().ints("a", {127, -128}).batch).columns[0].dtype, GYR_DTYPE_INT8);
  Batch big = Table().ints("a", {1, 128}).batch, out;
  auto plan = w->plan(columns_of(big), {});
  auto scratch = w->make_scratch();
  EXPECT_EQ(w->run(**plan, big, scratch.get(), &out, nullptr).code(), GYR_E_INVALID_ARGUMENT);
}

TEST(Graph, NoAllocationAfterWarmUp) {
  Batch b = random_rows(4, 500);
  auto w = fitted(b, kOps);
  auto plan = w->plan(columns_of(b), {});
  auto scratch = w->make_scratch();
  Batch out;
  std::vector<int64_t> map;
  for (int i = 0; i < 3; i++) ASSERT_TRUE(w->run(**plan, b, scratch.get(), &out, &map).ok());
  int64_t before = allocations;
  for (int i = 0; i < 10; i++) (void)w->run(**plan, b, scratch.get(), &out, &map).ok();
  EXPECT_EQ(allocations - before, 0);
}

// More callers than the workflow keeps contexts for: each gets its own row, and a failed row harms no other.
TEST(Graph, RowsFromManyThreads) {
  constexpr int64_t kRows = 40;
  Batch b = random_rows(6, kRows);
  auto w = fitted(b, R"({"op":"Categorify","columns":["s"]},{"op":"Filter","expr":"id >= -20"})", R"(["s","id"])");
  ASSERT_NE(w, nullptr);
  Batch all = transform(*w, b);
  ASSERT_EQ(all.rows, kRows);
  size_t n_in = w->inputs().columns.size();
  std::atomic<int> wrong{0};
  auto worker = [&](uint64_t seed) {
    Random random(seed);
    std::vector<gyr_value> in(n_in), out(2);
    alignas(8) char scratch[256];
    for (int step = 0; step < 400; step++) {
      size_t row = random.below(kRows);
      for (size_t i = 0; i < n_in; i++) in[i] = {};
      in[0].dtype = GYR_DTYPE_INT64, in[0].i = b.columns[0].ints[row];
      if (b.columns[3].leaf_is_valid(int64_t(row))) {
        std::string_view s = b.columns[3].string(int64_t(row));
        in[3].dtype = GYR_DTYPE_STRING, in[3].s = {s.data(), s.size()};
      }
      if (step % 7 == 0) {
        in[0].i = -21;  // filtered out
        wrong += w->run_row(in.data(), n_in, out.data(), 2, scratch, sizeof scratch).code() != GYR_E_NOT_FOUND;
      } else if (step % 7 == 1) {
        in[0].dtype = GYR_DTYPE_STRING;
        wrong += w->run_row(in.data(), n_in, out.data(), 2, scratch, sizeof scratch).code() != GYR_E_INVALID_ARGUMENT;
      } else {
        Status s = w->run_row(in.data(), n_in, out.data(), 2, scratch, sizeof scratch);
        wrong += !s.ok() || out[0].i != all.columns[0].ints[row] || out[1].i != all.columns[1].ints[row];
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 24; t++) threads.emplace_back(worker, t);
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Graph, RowEqualsBatch) {
  Batch b = random_rows(5, 120);
  auto w = fitted(b, kOps);
  std::vector<int64_t> map;
  Batch out = transform(*w, b, {}, &map);
  size_t n_out = w->outputs().columns.size(), next = 0;
  for (int64_t row = 0; row < b.rows; row++) {
    gyr_value in[5] = {}, got[16] = {};
    gyr_str strings[8];
    in[0] = {GYR_DTYPE_INT64, 0, b.columns[0].ints[size_t(row)]};
    in[1] = {GYR_DTYPE_INT32, 0, b.columns[1].ints[size_t(row)]};
    in[2].dtype = GYR_DTYPE_FLOAT64, in[2].f = b.columns[2].floats[size_t(row)];
    if (b.columns[3].leaf_is_valid(row)) {
      std::string_view s = b.columns[3].string(row);
      in[3].dtype = GYR_DTYPE_STRING, in[3].s = {s.data(), s.size()};
    }
    in[4].dtype = GYR_DTYPE_STRING, in[4].is_list = 1, in[4].list = strings;
    for (int64_t k = b.columns[4].list_offsets[size_t(row)]; k < b.columns[4].list_offsets[size_t(row) + 1]; k++) {
      std::string_view s = b.columns[4].string(k);
      strings[in[4].count++] = {s.data(), s.size()};
    }
    alignas(8) char scratch[256];
    Status s = w->run_row(in, 5, got, n_out, scratch, sizeof scratch);
    if (next >= map.size() || map[next] != row) {
      EXPECT_EQ(s.code(), GYR_E_NOT_FOUND);
      continue;
    }
    ASSERT_TRUE(s.ok()) << s.message();
    for (size_t i = 0; i < n_out; i++) {
      const Column& c = out.columns[i];
      if (c.is_list) {
        int64_t begin = c.list_offsets[next], end = c.list_offsets[next + 1];
        ASSERT_EQ(int64_t(got[i].count), end - begin);
        for (int64_t k = begin; k < end; k++)
          EXPECT_EQ(static_cast<const int64_t*>(got[i].list)[k - begin], c.ints[size_t(k)]);
      } else if (c.physical() == Physical::kFloat) {
        EXPECT_EQ(got[i].f, c.floats[next]);
      } else {
        EXPECT_EQ(got[i].i, c.ints[next]);
      }
    }
    if (in[4].count) {
      EXPECT_EQ(w->run_row(in, 5, got, n_out, nullptr, 0).code(), GYR_E_RESOURCE_EXHAUSTED);
    }
    next++;
  }
  EXPECT_EQ(next, map.size());
  gyr_value in[5] = {}, got[16];
  EXPECT_EQ(w->run_row(in, 4, got, n_out, nullptr, 0).code(), GYR_E_INVALID_ARGUMENT);
  in[0].dtype = GYR_DTYPE_STRING;
  EXPECT_EQ(w->run_row(in, 5, got, n_out, nullptr, 0).code(), GYR_E_INVALID_ARGUMENT);
}

TEST(State, SavedAndLoadedIsTheSame) {
  Batch b = random_rows(6, 80);
  auto w = make(graph(b, kOps));
  for (int step = 0; step < 5; step++) {  // unfitted, inside and between passes, fitted
    auto file = Container::parse(bytes_of(*w));
    ASSERT_TRUE(file.ok());
    auto loaded = Workflow::load(runtime(), **file, "w");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    EXPECT_EQ((*loaded)->passes_left(), w->passes_left());
    EXPECT_EQ(bytes_of(**loaded), bytes_of(*w));
    EXPECT_EQ((*loaded)->describe(), w->describe());
    w = std::move(*loaded);
    if (w->passes_left()) {
      ASSERT_TRUE((step % 2 ? w->fit_finish() : w->fit_batch(b)).ok());
    }
  }
  EXPECT_EQ(w->passes_left(), 0u);
  expect_same(transform(*w, b), transform(*fitted(b, kOps), b), 0);
}

// Valid checksums around broken payloads: each either loads or is refused, and what loads works.
TEST(State, BrokenPayloadsAreRefused) {
  Batch b = random_rows(7, 30);
  auto w = fitted(b, kOps);
  auto file = Container::parse(bytes_of(*w));
  std::vector<uint8_t> good = *(*file)->read("w", "WFL1");
  Random random(1);
  int refused = 0;
  for (int i = 0; i < 3000; i++) {
    std::vector<uint8_t> bad = good;
    if (i % 3 == 0)
      bad.resize(random.below(bad.size()));
    else
      for (uint64_t k = 0; k <= random.below(3); k++) bad[random.below(bad.size())] ^= uint8_t(1u << random.below(8));
    ContainerWriter writer;
    ASSERT_TRUE(writer.add("w", "WFL1", bad).ok());
    auto parsed = Container::parse(*writer.serialize());
    ASSERT_TRUE(parsed.ok());
    auto loaded = Workflow::load(runtime(), **parsed, "w");
    if (!loaded.ok()) {
      refused++;
      EXPECT_TRUE(loaded.status().code() == GYR_E_CORRUPT || loaded.status().code() == GYR_E_FORMAT_TOO_NEW)
          << loaded.status().message();
    } else if ((*loaded)->passes_left() == 0) {
      auto plan = (*loaded)->plan(columns_of(b), {});
      auto scratch = (*loaded)->make_scratch();
      Batch out;
      if (plan.ok()) (void)(*loaded)->run(**plan, b, scratch.get(), &out, nullptr).ok();
    }
  }
  EXPECT_GT(refused, 1500);
}

TEST(Graph, LaterVersionIsTooNew) {
  auto w = Workflow::create(runtime(), R"({"version":2,"inputs":[{"name":"a","dtype":"int64"}]})");
  ASSERT_FALSE(w.ok());
  EXPECT_EQ(w.status().code(), GYR_E_FORMAT_TOO_NEW);
  EXPECT_NE(std::string(w.status().message()).find("version: 2 is newer"), std::string::npos) << w.status().message();
}

TEST(Graph, HostileJson) {
  struct {
    const char *json, *part;
  } cases[] = {
      {"", "JSON"},
      {"[1]", "expected an object"},
      {R"({"version":1,"inputs":[]})", "inputs"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int63"}]})", "inputs[0].dtype"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"},{"name":"a","dtype":"int64"}]})", "inputs[1].name"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64","tags":["usr"]}]})", "inputs[0].tags"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64","lst":true}]})", "list"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[7]})", "ops[0]"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"Categorise","columns":["a"]}]})",
       "Categorify"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"LogOp","columns":["b"]}]})",
       "ops[0].columns[0]"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"LogOp","columns":["a"],"as":["x","y"]}]})",
       "ops[0].as"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"LogOp","columns":["a"],"as":["a"]}]})",
       "ops[0].as"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"string"}],"ops":[{"op":"Normalize","columns":["a"]}]})",
       "strings"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"Filter","expr":"a >"}]})", "ops[0].expr"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"Filter","expr":"a + 1"}]})", "condition"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"Clip","columns":["a"]}]})", "min_value"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"Bucketize","columns":["a"],"boundaries":[1,1]}]})",
       "ascending"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"float64"}],"ops":[{"op":"HashBucket","columns":["a"],"num_buckets":4}]})",
       "floats"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"outputs":["b"]})", "outputs"},
      {R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"outputs":["a","a"]})", "twice"},
  };
  for (const auto& c : cases) {
    auto w = Workflow::create(runtime(), c.json);
    ASSERT_FALSE(w.ok()) << c.json;
    EXPECT_EQ(w.status().code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(w.status().message()).find(c.part), std::string::npos) << c.json << "\n"
                                                                                 << w.status().message();
  }
}

}  // namespace
}  // namespace gyr::testing
