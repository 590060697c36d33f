// Models at serving time: predict, score and encode agree; nulls; files and their damage; refusals; allocations.
#include <atomic>
#include <cstdlib>
#include <new>

#include "exec/memory.h"
#include "tests/model/common.h"

namespace {
std::atomic<uint64_t> allocations{0};
void* counted(size_t n) {
  allocations++;
  void* p = std::malloc(n ? n : 1);
  if (!p) throw std::bad_alloc();
  return p;
}
}  // namespace

[[gnu::noinline]] void* operator new(size_t n) { return counted(n); }
[[gnu::noinline]] void* operator new[](size_t n) { return counted(n); }
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {  // or the sanitizers bring theirs
  allocations++;
  return std::malloc(n ? n : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, size_t) noexcept { std::free(p); }

namespace gyr {
namespace {

using namespace gyr::testing;

constexpr int64_t kItems = 9;
const std::string kSchema =
    schema({code("user", 7, "user"), list("history", kItems, "user", "item"), number("age", "user"),
            code("item", kItems, "item", "item"), list("tags", 5, "item"), number("price", "item")});
const char* kSpecs[] = {
    R"({"version":1,"kind":"popularity"})",
    R"({"version":1,"kind":"item_knn"})",
    R"({"version":1,"kind":"ials","dim":3,"epochs":2})",
    R"({"version":1,"kind":"two_tower","dim":3,"hidden":[4],"batch":16,"epochs":1})",
    R"({"version":1,"kind":"two_tower","dim":3,"hidden":[],"batch":16,"epochs":1,"item_bias":true,"l2_normalize":true,
        "item_features":["tags","price"]})",
    R"({"version":1,"kind":"dlrm","label":"label","dim":3,"bottom":[3],"top":[4],"batch":16,"epochs":1})",
    R"({"version":1,"kind":"dlrm","label":"label","dim":3,"top":[4],"batch":16,"epochs":1,
        "user_features":["user","history","age"],"item_features":["item","tags"]})"};

Batch rows(int64_t n, uint64_t seed = 1) {
  Random random(seed);
  Ints user, item;
  Lists history, tags;
  std::vector<double> age, price, label;
  for (int64_t r = 0; r < n; r++) {
    user.push_back(int64_t(random.below(7)));
    item.push_back(int64_t(3 + random.below(kItems - 3)));
    history.push_back({});
    tags.push_back({});
    for (uint64_t i = random.below(4); i > 0; i--) history.back().push_back(int64_t(random.below(kItems)));
    for (uint64_t i = random.below(3); i > 0; i--) tags.back().push_back(int64_t(random.below(5)));
    age.push_back(random.normal());
    price.push_back(random.normal());
    label.push_back(double(random.below(2)));
  }
  return Rows()
      .ints("user", user)
      .lists("history", history)
      .floats("age", age)
      .ints("item", item)
      .lists("tags", tags)
      .floats("price", price)
      .floats("label", label)
      .batch;
}

std::shared_ptr<const Model> fitted(const char* spec, std::shared_ptr<Runtime> rt = runtime()) {
  auto t = trainer(std::move(rt), spec, kSchema);
  EXPECT_TRUE(ok(fit(*t, rows(60)))) << spec;
  return exported(*t);
}

TEST(Serving, ScoreOfManyCandidatesEqualsPredict) {
  // 150 candidates are more than two blocks; user row 5 beside every one of them.
  Batch b = rows(150, 2), paired = b;
  for (const char* name : {"user", "history", "age"}) {
    Column& c = paired.columns[size_t(paired.find(name))];
    c.reset(c.dtype, c.is_list);
    for (int64_t r = 0; r < 150; r++) c.append_row(b.columns[size_t(b.find(name))], 5);
  }
  for (const char* spec : kSpecs) {
    auto m = fitted(spec);
    std::vector<float> expected = predicted(*m, paired), out(150, NAN), part(20, NAN);
    auto scratch = m->make_scratch();
    auto user = columns_of(b, m->score_user_inputs()), items = columns_of(b, m->score_item_inputs());
    ASSERT_TRUE(ok(m->score(user, 5, items, 0, 150, scratch.get(), out.data())));
    for (size_t i = 0; i < 150; i++) ASSERT_NEAR(out[i], expected[i], 1e-5) << spec << " " << i;
    ASSERT_TRUE(ok(m->score(user, 5, items, 100, 20, scratch.get(), part.data())));
    for (size_t i = 0; i < 20; i++) ASSERT_NEAR(part[i], expected[100 + i], 1e-5) << spec << " " << i;
    ASSERT_TRUE(ok(m->score(user, 5, items, 0, 0, scratch.get(), nullptr)));
  }
}

TEST(Serving, TowersDotToTheScore) {
  Batch b = rows(70, 3);
  for (const char* spec : {kSpecs[2], kSpecs[3], kSpecs[4]}) {
    auto m = fitted(spec);
    std::vector<float> u = encoded(*m, GYR_SIDE_USER, b), v = encoded(*m, GYR_SIDE_ITEM, b), p = predicted(*m, b);
    for (size_t r = 0; r < 70; r++) {
      float dot = 0;
      for (size_t c = 0; c < m->dim(); c++) dot += u[r * m->dim() + c] * v[r * m->dim() + c];
      ASSERT_NEAR(dot, p[r], 1e-4) << spec;
    }
  }
}

TEST(Serving, NullsReadAsNothing) {
  // A null code embeds as zeros, not as code 0; a null or NaN number is 0; a null list is empty.
  Batch b = rows(3, 4);
  for (const char* spec : {kSpecs[3], kSpecs[5]}) {
    auto m = fitted(spec);
    Batch nulls = b, plain = b;
    for (const char* name : {"age", "price"}) {
      Column& c = nulls.columns[size_t(nulls.find(name))];
      c.reset(c.dtype, false);
      c.push_null_row(), c.push_float(NAN), c.push_null_row();
      Column& zero = plain.columns[size_t(plain.find(name))];
      zero.floats.assign(3, 0.0);
    }
    for (const char* name : {"history", "tags"}) {
      Column& c = nulls.columns[size_t(nulls.find(name))];
      c.reset(c.dtype, true);
      Column& empty = plain.columns[size_t(plain.find(name))];
      empty.reset(empty.dtype, true);
      for (int i = 0; i < 3; i++) c.push_null_row(), empty.end_list();
    }
    EXPECT_EQ(predicted(*m, nulls), predicted(*m, plain)) << spec;
    Column& user = nulls.columns[size_t(nulls.find("user"))];
    user.reset(user.dtype, false);
    for (int i = 0; i < 3; i++) user.push_null_row();
    plain.columns[size_t(plain.find("user"))].ints.assign(3, 0);
    EXPECT_NE(predicted(*m, nulls), predicted(*m, plain)) << spec;
  }
}

TEST(Serving, RefusesWhatItCannotRead) {
  Batch b = rows(4);
  for (const char* spec : kSpecs) {
    auto m = fitted(spec);
    auto scratch = m->make_scratch();
    std::vector<float> out(4);
    bool item = std::string(spec).find(R"(["tags","price"])") == std::string::npos;
    if (item) {
      Batch far = b;
      far.columns[size_t(far.find("item"))].ints[2] = kItems;
      EXPECT_TRUE(fails(m->predict(far, scratch.get(), out.data()), GYR_E_INVALID_ARGUMENT, {"\"item\"", "row 2"}));
      far.columns[size_t(far.find("item"))].ints[2] = -1;
      EXPECT_TRUE(fails(m->predict(far, scratch.get(), out.data()), GYR_E_INVALID_ARGUMENT, {"\"item\"", "-1"}));
    }
    Batch type = b;
    for (const char* name : {"item", "tags"}) {
      Column& c = type.columns[size_t(type.find(name))];
      c.reset(GYR_DTYPE_STRING, false);
      for (int i = 0; i < 4; i++) c.push_string("x");
    }
    EXPECT_TRUE(fails(m->predict(type, scratch.get(), out.data()), GYR_E_INVALID_ARGUMENT, {"string"})) << spec;
    Batch none;
    none.rows = 1;
    EXPECT_TRUE(fails(m->predict(none, scratch.get(), out.data()), GYR_E_INVALID_ARGUMENT, {"missing"})) << spec;
  }
}

TEST(Files, AnOpenedModelAnswersTheSame) {
  Batch b = rows(80, 5);
  for (const char* spec : kSpecs) {
    auto rt = runtime();
    auto m = fitted(spec);
    auto again = loaded(rt, bytes_of(*m));
    ASSERT_TRUE(ok(again.status()));
    EXPECT_EQ(predicted(**again, b), predicted(*m, b)) << spec;
    EXPECT_EQ((*again)->describe(), m->describe()) << spec;
    EXPECT_EQ(bytes_of(**again), bytes_of(*m)) << spec;
    EXPECT_STREQ((*again)->kind(), m->kind());
    EXPECT_EQ(m->describe()["kind"], m->kind());
    EXPECT_GT(m->describe()["parameters"].int64(), 0);
  }
}

// The payload inside a sound container: what a checksum cannot catch, an attacker's file.
Result<std::shared_ptr<const Model>> from_payload(std::shared_ptr<Runtime> rt, std::vector<uint8_t> payload) {
  ContainerWriter file;
  GYR_TRY(file.add("m", "MDL1", std::move(payload)));
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.serialize());
  return loaded(std::move(rt), std::move(bytes));
}

TEST(Files, DamageIsRefusedOrHarmless) {
  Batch b = rows(5, 6);
  for (const char* spec : kSpecs) {
    auto rt = runtime();
    std::vector<uint8_t> file = bytes_of(*fitted(spec));
    auto payload = *(*Container::parse(file))->read("m", "MDL1");
    size_t refused = 0;
    for (size_t at = 0; at < payload.size(); at++)
      for (uint8_t flip : {uint8_t(0x01), uint8_t(0x80)}) {
        std::vector<uint8_t> bad = payload;
        bad[at] ^= flip;
        auto m = from_payload(rt, bad);
        refused += !m.ok();
        if (!m.ok()) {
          ASSERT_TRUE(m.status().code() == GYR_E_CORRUPT || m.status().code() == GYR_E_FORMAT_TOO_NEW ||
                      m.status().code() == GYR_E_OUT_OF_MEMORY)
              << spec << " byte " << at << ": " << m.status().code() << " " << m.status().message();
          continue;
        }
        // Another valid model: it may say something else or refuse the columns, but nothing worse.
        std::vector<float> out(5);
        auto scratch = (*m)->make_scratch();
        (void)(*m)->predict(b, scratch.get(), out.data());
        (void)(*m)->describe().dump();
      }
    EXPECT_GT(refused, 50u) << spec;
    for (size_t n = 0; n < payload.size(); n++)
      ASSERT_FALSE(from_payload(rt, {payload.begin(), payload.begin() + long(n)}).ok()) << spec << " cut at " << n;
    payload.push_back(0);
    EXPECT_TRUE(fails(from_payload(rt, payload).status(), GYR_E_CORRUPT, {})) << spec;
    // And the file as it lies on a disk.
    for (size_t at = 0; at < file.size(); at += 3) {
      std::vector<uint8_t> bad = file;
      bad[at] ^= 0x10;
      EXPECT_FALSE(loaded(rt, bad).ok()) << spec << " byte " << at;
    }
  }
}

TEST(Files, OtherFilesAreNoModels) {
  auto rt = runtime();
  ContainerWriter file;
  ASSERT_TRUE(ok(file.add("m", "WFL1", {1, 2, 3})));
  EXPECT_EQ(loaded(rt, *file.serialize()).status().code(), GYR_E_CORRUPT);
  EXPECT_EQ(loaded(rt, *ContainerWriter().serialize()).status().code(), GYR_E_CORRUPT);
}

TEST(Training, RefusesRowsNamingColumnAndRow) {
  for (const char* spec : kSpecs) {
    bool network =
        std::string(spec).find("two_tower") != std::string::npos || std::string(spec).find("dlrm") != std::string::npos;
    bool dlrm = std::string(spec).find("dlrm") != std::string::npos;
    auto t = trainer(runtime(), spec, kSchema);
    EXPECT_TRUE(fails(fit(*t, rows(0)), GYR_E_INVALID_STATE, {"no rows"})) << spec;
    EXPECT_TRUE(fails(t->export_model().status(), GYR_E_INVALID_STATE, {"not fitted"})) << spec;

    ASSERT_TRUE(ok(t->add_rows(rows(10))));  // the row is counted over the batches
    Batch b = rows(10);
    b.columns[size_t(b.find("item"))].ints[4] = kItems;
    EXPECT_TRUE(fails(t->add_rows(b), GYR_E_INVALID_ARGUMENT, {"\"item\"", "row 14", "[0, 9)"})) << spec;
    b = rows(10);
    Column& item = b.columns[size_t(b.find("item"))];
    item.leaf_valid.assign(10, 1);
    item.leaf_valid[3] = 0;
    EXPECT_TRUE(fails(t->add_rows(b), GYR_E_INVALID_ARGUMENT, {"\"item\"", "row 13", "null"})) << spec;
    b = rows(10);
    b.names[size_t(b.find("item"))] = "other";
    EXPECT_TRUE(fails(t->add_rows(b), GYR_E_INVALID_ARGUMENT, {"\"item\"", "missing"})) << spec;
    if (network) {
      b = rows(10);
      b.columns[size_t(b.find("age"))].floats[6] = NAN;
      EXPECT_TRUE(fails(t->add_rows(b), GYR_E_INVALID_ARGUMENT, {"\"age\"", "row 16"})) << spec;
      b = rows(10);
      Column& tags = b.columns[size_t(b.find("tags"))];
      tags.reset(GYR_DTYPE_INT64, true);
      for (int r = 0; r < 10; r++) tags.push_int(r == 7 ? -3 : 1), tags.end_list();
      EXPECT_TRUE(fails(t->add_rows(b), GYR_E_INVALID_ARGUMENT, {"\"tags\"", "row 17", "-3"})) << spec;
    }
    if (dlrm)
      for (double bad : {double(NAN), 2.0, -0.5}) {
        b = rows(10);
        b.columns[size_t(b.find("label"))].floats[1] = bad;
        EXPECT_TRUE(fails(t->add_rows(b), GYR_E_INVALID_ARGUMENT, {"\"label\"", "row 11"})) << spec;
      }
    // None of the refused batches left anything behind.
    ASSERT_TRUE(ok(t->fit(nullptr)));
    auto straight = trainer(runtime(), spec, kSchema);
    ASSERT_TRUE(ok(fit(*straight, rows(10))));
    EXPECT_EQ(bytes_of(*exported(*t)), bytes_of(*exported(*straight))) << spec;
  }
}

TEST(Training, RefusesSpecsNamingThePath) {
  auto refused = [](const char* spec, const std::vector<std::string>& words) {
    return fails(Trainer::create(runtime(), spec, kSchema).status(), GYR_E_INVALID_ARGUMENT, words);
  };
  EXPECT_TRUE(refused("{", {}));
  EXPECT_TRUE(fails(Trainer::create(runtime(), R"({"version":2,"kind":"dlrm"})", kSchema).status(),
                    GYR_E_FORMAT_TOO_NEW, {"version", "newer"}));
  EXPECT_TRUE(refused(R"({"version":1})", {"kind"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"bert"})", {"kind"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"ials","dimm":3})", {"dimm"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"ials","dim":0})", {"dim"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"ials","user":"nobody"})", {"nobody"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"two_tower","item":"age"})", {"item"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"two_tower","user_features":["nobody"]})", {"user_features[0]"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"two_tower","user_features":["age"],"item_features":["age"]})",
                      {"item_features[0]"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"two_tower","user_features":[]})", {"user tower"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"two_tower","sampling":{}})", {"sampling"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"two_tower","sampling":{"column":"w","decay_rows":3}})", {"sampling"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"dlrm"})", {"label"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"dlrm","label":"label","negatives":{}})", {"label"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"dlrm","label":"label","dim":8,"bottom":[8,4]})", {"bottom"}));
  EXPECT_TRUE(refused(R"({"version":1,"kind":"dlrm","negatives":{"per_positive":0},"item":"item"})",
                      {"negatives.per_positive"}));
}

// Bulk memory of the runtime, counted through the host's allocator.
std::shared_ptr<Runtime> counting_runtime() {
  static gyr_allocator hook = {};
  hook.struct_size = sizeof hook;
  hook.alloc = [](uintptr_t, uint64_t size, uint64_t align) {
    allocations++;
    return std::aligned_alloc(align, (size + align - 1) / align * align);
  };
  hook.free = [](uintptr_t, void* p, uint64_t, uint64_t) { std::free(p); };
  gyr_runtime_options o = {};
  o.struct_size = sizeof o;
  o.threads = 1;
  o.allocator = &hook;
  return *Runtime::create(o);
}

TEST(Serving, AllocatesNothingAfterWarmUp) {
  Batch b = rows(150, 7);
  for (const char* spec : kSpecs) {
    auto m = fitted(spec, counting_runtime());
    auto scratch = m->make_scratch();
    auto user = columns_of(b, m->score_user_inputs()), items = columns_of(b, m->score_item_inputs());
    std::vector<float> out(150 * std::max<size_t>(1, m->dim()));
    for (int round = 0; round < 2; round++) {
      uint64_t before = allocations;
      for (int64_t r = 0; r < 150; r++) ASSERT_TRUE(ok(m->score(user, r, items, 0, 150, scratch.get(), out.data())));
      if (round) {
        EXPECT_EQ(allocations, before) << "score " << spec;
      }
    }
    if (m->dim() == 0) continue;
    for (gyr_side side : {GYR_SIDE_USER, GYR_SIDE_ITEM}) {
      auto columns = columns_of(b, m->encode_inputs(side));
      for (int round = 0; round < 2; round++) {
        uint64_t before = allocations;
        ASSERT_TRUE(ok(m->encode(side, columns, 150, scratch.get(), out.data())));
        if (round) {
          EXPECT_EQ(allocations, before) << "encode " << spec;
        }
      }
    }
  }
}

TEST(Training, SurvivesEveryMemoryBudget) {
  Batch b = rows(60);
  for (const char* spec : kSpecs) {
    bool worked = false, failed = false;
    for (uint64_t budget = 256; budget < (1 << 20) && !worked; budget += budget / 16) {
      gyr_runtime_options o = {};
      o.struct_size = sizeof o;
      o.threads = 1;
      o.memory_budget = budget;
      auto rt = *Runtime::create(o);
      try {
        auto t = Trainer::create(rt, spec, kSchema);
        ASSERT_TRUE(t.ok());
        Status s = fit(**t, b);
        if (s.ok()) (void)predicted(*exported(**t), b);
        worked = s.ok();
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    EXPECT_TRUE(worked && failed) << spec;
  }
}

}  // namespace
}  // namespace gyr
