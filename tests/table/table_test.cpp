#include "table/table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "base/random.h"
#include "exec/memory.h"
#include "table/table_impl.h"
#include "tests/table/rows.h"

namespace gyr {
namespace {

constexpr const char* kUsers = R"({"name":"users","key":"id","event_time":"ts","ttl_seconds":7200,
  "columns":[{"name":"v","dtype":"int64"},{"name":"w","dtype":"string"}]})";

TEST(Table, NewestWinsAndReplayIsIdempotent) {
  auto t = make(kUsers);
  auto upsert = [&](int64_t ts, int64_t v) {
    Table::UpsertStats s;
    EXPECT_TRUE(t->upsert(row(1, ts, {{"v", v}}), &s).ok());
    EXPECT_EQ(s.rows, 1u);
    EXPECT_EQ(s.applied + s.stale, 1u);
    return s.applied == 1;
  };
  EXPECT_TRUE(upsert(5, 50));
  EXPECT_FALSE(upsert(3, 30));
  EXPECT_EQ(get(*t, {1}, kAll, {0}).batch.columns[0].ints[0], 50);
  EXPECT_TRUE(upsert(5, 51));  // an equal time replaces (gyr/table.h), so that a replay ends in the same state
  EXPECT_EQ(get(*t, {1}, kAll, {0}).batch.columns[0].ints[0], 51);
  EXPECT_TRUE(upsert(6, 60));
  EXPECT_EQ(get(*t, {1}, kAll, {0}).batch.columns[0].ints[0], 60);
}

TEST(Table, TtlAndFutureAreEnforcedAtRead) {
  auto t = make(kUsers);
  ASSERT_TRUE(t->upsert(row(1, at(12, 30), {{"v", 4}}), nullptr).ok());
  auto status = [&](int64_t now) { return get(*t, {1}, now, {0}).status[0]; };
  EXPECT_EQ(status(at(12, 29)), GYR_VALUE_MISSING);
  EXPECT_EQ(status(at(12, 30)), GYR_VALUE_PRESENT);
  EXPECT_EQ(status(at(14, 30)), GYR_VALUE_PRESENT);
  EXPECT_EQ(status(at(14, 30) + 1), GYR_VALUE_EXPIRED);
  EXPECT_TRUE(get(*t, {1}, at(14, 31), {0}).batch.columns[0].row_is_null(0));
  EXPECT_EQ(status(kAll), GYR_VALUE_PRESENT);
  EXPECT_EQ(status(0), GYR_VALUE_EXPIRED);  // the wall clock
  auto forever = make(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"v","dtype":"int64"}]})");
  ASSERT_TRUE(forever->upsert(row(1, at(12, 30), {{"v", 4}}), nullptr).ok());
  EXPECT_EQ(get(*forever, {1}, at(23, 0), {0}).status[0], GYR_VALUE_PRESENT);
}

TEST(Table, PartialUpsertDoesNotReviveWhatExpired) {
  auto t = make(R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":10,
    "columns":[{"name":"v","dtype":"int64"},{"name":"w","dtype":"int64"}]})");
  constexpr int64_t kSecond = 1'000'000;
  ASSERT_TRUE(t->upsert(row(1, 1 * kSecond, {{"v", 4}}), nullptr).ok());
  ASSERT_TRUE(t->upsert(row(1, 11 * kSecond, {{"w", 5}}), nullptr).ok());  // still alive at 11 s: v is kept
  EXPECT_EQ(get(*t, {1}, 12 * kSecond, {0}).status[0], GYR_VALUE_PRESENT);
  ASSERT_TRUE(t->upsert(row(1, 100 * kSecond, {{"w", 6}}), nullptr).ok());
  EXPECT_EQ(get(*t, {1}, 100 * kSecond, {0}).status[0], GYR_VALUE_NULL);
  EXPECT_EQ(get(*t, {1}, 100 * kSecond, {1}).status[0], GYR_VALUE_PRESENT);
}

constexpr const char* kWide = R"({"name":"wide","key":"id","key_dtype":"string","event_time":"ts","columns":[
  {"name":"b","dtype":"bool"},{"name":"i8","dtype":"int8"},{"name":"u16","dtype":"uint16"},{"name":"i32","dtype":"int32"},
  {"name":"u64","dtype":"uint64"},{"name":"f32","dtype":"float32"},{"name":"f64","dtype":"float64"},
  {"name":"s","dtype":"string"},{"name":"t","dtype":"timestamp"},{"name":"li","dtype":"int16","list":true},
  {"name":"lf","dtype":"float32","list":true},{"name":"ls","dtype":"string","list":true}]})";

void push_random(const Field& f, Random* random, Column* out) {
  auto leaf = [&] {
    if (random->below(6) == 0) return out->push_null_leaf();
    if (f.dtype == GYR_DTYPE_STRING)
      return out->push_string(std::string(random->below(40), char('a' + random->below(26))));
    if (physical_of(f.dtype) == Physical::kFloat) return out->push_float(float(random->normal()));
    out->push_int(int64_t(random->below(f.dtype == GYR_DTYPE_BOOL ? 2 : 100)));
  };
  if (!f.is_list) return leaf();
  if (random->below(6) == 0) return out->push_null_row();
  for (uint64_t n = random->below(5); n > 0; n--) leaf();
  out->end_list();
}

std::string text(const Column& c, int64_t i) {
  if (c.row_is_null(i)) return "null";
  int64_t begin = c.is_list ? c.list_offsets[size_t(i)] : i, end = c.is_list ? c.list_offsets[size_t(i) + 1] : i + 1;
  std::string out = "[";
  for (int64_t k = begin; k < end; k++) {
    if (!c.leaf_is_valid(k))
      out += "null";
    else if (c.physical() == Physical::kString)
      out += "'" + std::string(c.string(k)) + "'";
    else if (c.physical() == Physical::kFloat)
      out += std::to_string(c.floats[size_t(k)]);
    else
      out += std::to_string(c.ints[size_t(k)]);
    out += ",";
  }
  return out;
}

struct ModelRow {
  int64_t ts;
  std::vector<std::string> values;
};
using Model = std::map<std::string, ModelRow>;

void expect_scan(const Table& t, const Model& model) {
  Batch batch;
  size_t rows = 0;
  for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
    ASSERT_TRUE(t.scan(&cursor, 13, &batch).ok());
    for (int64_t i = 0; i < batch.rows; i++, rows++) {
      auto it = model.find(std::string(batch.columns[0].string(i)));
      ASSERT_NE(it, model.end());
      EXPECT_EQ(batch.columns[1].ints[size_t(i)], it->second.ts);
      for (size_t c = 0; c + 2 < batch.columns.size(); c++)
        ASSERT_EQ(text(batch.columns[c + 2], i), it->second.values[c]) << batch.names[c + 2];
    }
  }
  EXPECT_EQ(rows, model.size());
}

// Random partial upserts of every type against a model; then scan, get, save and load.
TEST(Table, FollowsAModelThroughSaveAndLoad) {
  auto t = make(kWide);
  Model model;
  Random random{7};
  for (int step = 0; step < 400; step++) {
    Batch b;
    b.rows = int64_t(random.below(12));
    Column& key = b.add("id", GYR_DTYPE_STRING, false);
    for (int64_t i = 0; i < b.rows; i++) key.push_string("user" + std::to_string(random.below(150)));
    b.add("ts", GYR_DTYPE_TIMESTAMP, false);
    for (int64_t i = 0; i < b.rows; i++) b.columns[1].push_int(int64_t(random.below(400)));
    std::vector<int> there(t->columns().size(), -1);
    for (size_t c = 0; c < there.size(); c++) {
      if (random.below(3) == 0) continue;
      const Field& f = t->columns()[c];
      there[c] = int(b.columns.size());
      Column& column = b.add(f.name, f.dtype, f.is_list);
      for (int64_t i = 0; i < b.rows; i++) push_random(f, &random, &column);
    }
    Table::UpsertStats stats;
    Status s = t->upsert(b, &stats);
    ASSERT_TRUE(s.ok()) << s.message();
    for (int64_t i = 0; i < b.rows; i++) {
      auto& m = model
                    .try_emplace(std::string(b.columns[0].string(i)),
                                 ModelRow{-1, std::vector<std::string>(there.size(), "null")})
                    .first->second;
      int64_t ts = b.columns[1].ints[size_t(i)];
      if (ts < m.ts) continue;
      m.ts = ts;
      for (size_t c = 0; c < there.size(); c++)
        if (there[c] >= 0) m.values[c] = text(b.columns[size_t(there[c])], i);
    }
  }
  expect_scan(*t, model);
  ContainerWriter writer;
  ASSERT_TRUE(t->save(&writer, "x/table").ok());
  auto bytes = writer.serialize();
  ASSERT_TRUE(bytes.ok());
  auto file = Container::parse(*bytes);
  ASSERT_TRUE(file.ok());
  auto loaded = Table::load(runtime(), **file, "x/table");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  expect_scan(**loaded, model);

  // A damaged payload with right checksums is refused or at least harmless.
  auto payload = *(*file)->read("x/table", "TBL1");
  for (int k = 0; k < 600; k++) {
    auto bad = payload;
    if (k % 3 == 0)
      bad.resize(random.below(bad.size()));
    else
      bad[random.below(bad.size())] = uint8_t(random.next());
    ContainerWriter w;
    ASSERT_TRUE(w.add("x/table", "TBL1", bad).ok());
    auto f = Container::parse(*w.serialize());
    ASSERT_TRUE(f.ok());
    auto r = Table::load(runtime(), **f, "x/table");
    EXPECT_TRUE(r.ok() || r.status().code() == GYR_E_CORRUPT) << r.status().message();
    EXPECT_FALSE(k % 3 == 0 && r.ok() && bad.size() < payload.size());
  }
}

TEST(Table, RefusesBadBatchesWhole) {
  auto t = make(kUsers);
  auto refused = [&](Batch b, const char* what) {
    Table::UpsertStats stats;
    Status s = t->upsert(b, &stats);
    EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT) << what;
    EXPECT_NE(std::string(s.message()).find(what), std::string::npos) << s.message();
    EXPECT_EQ(stats.applied, 0u);
    EXPECT_EQ(t->rows(), 0u);
  };
  refused(row(1, 1, {{"nope", 1}}), "\"nope\"");
  refused(row(1, 1, {{"v", 1}, {"v", 2}}), "twice");
  refused(row(1, 1, {{"w", 1}}), "\"w\" is string");
  Batch b = row(1, 1, {});
  b.columns[0].push_null_leaf();
  b.columns[1].push_int(1);
  b.rows = 2;
  refused(b, "row 1 is null");
  b = row(1, 1, {});
  b.columns[1].reset(GYR_DTYPE_TIMESTAMP, false);
  b.columns[1].push_null_leaf();
  refused(b, "event time");
  b = row(1, 1, {});
  b.names.pop_back();
  b.columns.pop_back();
  refused(b, "\"ts\" is not in the batch");
  b = row(1, 1, {});
  b.add("w", GYR_DTYPE_STRING, false).push_string("\xff");
  refused(b, "UTF-8");
  b = row(1, 1, {});
  b.add("v", GYR_DTYPE_FLOAT64, false).push_float(1.5);
  refused(b, "float64");
  b = row(1, 1, {});
  b.add("v", GYR_DTYPE_INT64, false);
  refused(b, "0 rows");
  auto small =
      make(R"({"name":"t","key":"id","columns":[{"name":"v","dtype":"int8"},{"name":"f","dtype":"float32"}]})");
  Batch wide;
  wide.rows = 1;
  wide.add("id", GYR_DTYPE_INT64, false).push_int(1);
  wide.add("v", GYR_DTYPE_INT64, false).push_int(128);
  EXPECT_NE(std::string(small->upsert(wide, nullptr).message()).find("does not fit"), std::string::npos);
  wide.columns[1].ints[0] = -128;
  wide.add("f", GYR_DTYPE_FLOAT64, false).push_float(1e300);
  EXPECT_NE(std::string(small->upsert(wide, nullptr).message()).find("overflows"), std::string::npos);
  EXPECT_EQ(small->rows(), 0u);
}

TEST(Table, SchemaErrorsNameThePath) {
  auto message = [](const char* json) {
    auto t = Table::create(runtime(), json);
    EXPECT_EQ(t.status().code(), GYR_E_INVALID_ARGUMENT) << json;
    return std::string(t.status().message());
  };
  EXPECT_NE(message("[]").find("object"), std::string::npos);
  EXPECT_NE(message(R"({"name":"t","columns":[]})").find("key"), std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k"})").find("columns"), std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k","columns":[{"name":"a","dtype":"int65"}]})").find("columns[0].dtype"),
            std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k","columns":[{"name":"a","dtype":"int8"},{"name":"a","dtype":"int8"}]})")
                .find("columns[1].name"),
            std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k","columns":[{"name":"k","dtype":"int8"}]})").find("columns[0].name"),
            std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k","columns":[{"name":"a","dtype":"int8","lst":true}]})").find("lst"),
            std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k","ttl_seconds":5,"columns":[]})").find("event_time"), std::string::npos);
  EXPECT_NE(message(R"({"name":"t","key":"k","key_dtype":"int32","columns":[]})").find("key_dtype"), std::string::npos);
}

TEST(Table, BudgetLeavesItConsistent) {
  auto t = make(kUsers, 200'000);
  Batch b;
  b.rows = 10000;
  Column& id = b.add("id", GYR_DTYPE_INT64, false);
  for (int64_t i = 0; i < b.rows; i++) id.push_int(i);
  for (const char* name : {"ts", "v"}) {
    Column& c = b.add(name, GYR_DTYPE_INT64, false);
    for (int64_t i = 0; i < b.rows; i++) c.push_int(i);
  }
  Table::UpsertStats stats;
  EXPECT_THROW((void)t->upsert(b, &stats), BudgetExceeded);
  EXPECT_GT(stats.applied, 100u);
  EXPECT_EQ(t->rows(), stats.applied);
  auto g = get(*t, {0, int64_t(stats.applied) - 1, int64_t(stats.applied)}, kAll, {0});
  EXPECT_EQ(g.status, (std::vector<uint8_t>{GYR_VALUE_PRESENT, GYR_VALUE_PRESENT, GYR_VALUE_MISSING}));
  EXPECT_EQ(g.batch.columns[0].ints[1], int64_t(stats.applied) - 1);
}

// Several writers: every row says which upsert made it, in a number, a string and a list.
TEST(Table, WritersAndReadersTogether) {
  auto t = make(R"({"name":"t","key":"id","key_dtype":"string","event_time":"ts","columns":[
    {"name":"a","dtype":"int64"},{"name":"s","dtype":"string"},{"name":"l","dtype":"string","list":true}]})");
  constexpr int64_t kKeys = 30, kSteps = 1500, kWriters = 3;
  std::vector<std::string> names;
  std::vector<gyr_str> ids;
  for (int64_t i = 0; i < kKeys; i++) names.push_back("key" + std::to_string(i));
  for (auto& s : names) ids.push_back({s.data(), s.size()});
  std::vector<std::atomic<int64_t>> newest(kKeys);
  std::atomic<int64_t> writing{kWriters};
  std::atomic<uint64_t> wrong{0}, applied{0};
  auto text_of = [](int64_t a) { return std::string(size_t(a % 40), char('a' + a % 26)); };
  auto writer = [&](uint64_t seed) {
    Random random{seed};
    for (int64_t step = 1; step <= kSteps; step++) {
      Batch b;
      b.add("id", GYR_DTYPE_STRING, false);
      b.add("ts", GYR_DTYPE_TIMESTAMP, false);
      b.add("a", GYR_DTYPE_INT64, false);
      b.add("s", GYR_DTYPE_STRING, false);
      b.add("l", GYR_DTYPE_STRING, true);
      Column &id = b.columns[0], &ts = b.columns[1], &a = b.columns[2], &s = b.columns[3], &l = b.columns[4];
      for (b.rows = 0; b.rows < 3; b.rows++) {
        size_t k = random.below(kKeys);
        int64_t time = step * kWriters + int64_t(seed);
        id.push_string(names[k]);
        ts.push_int(time);
        a.push_int(time);
        s.push_string(text_of(time));
        for (int64_t i = 0; i < time % 4; i++) l.push_string(text_of(time));
        l.end_list();
        int64_t seen = newest[k];
        while (seen < time && !newest[k].compare_exchange_weak(seen, time)) {
        }
      }
      Table::UpsertStats stats;
      wrong += !t->upsert(b, &stats).ok() || stats.applied + stats.stale != 3;
      applied += stats.applied;
    }
    writing--;
  };
  auto check = [&](const Batch& out, const std::vector<uint8_t>& status) {
    for (size_t i = 0; i < size_t(kKeys); i++) {
      if (status[i] != GYR_VALUE_PRESENT) continue;
      int64_t a = out.columns[0].ints[i];
      int64_t begin = out.columns[2].list_offsets[i], end = out.columns[2].list_offsets[i + 1];
      wrong += out.columns[1].string(int64_t(i)) != text_of(a) || end - begin != a % 4;
      for (int64_t k = begin; k < end; k++) wrong += out.columns[2].string(k) != text_of(a);
    }
  };
  auto reader = [&](uint64_t seed) {
    Batch out;
    std::vector<uint8_t> status;
    std::vector<int64_t> last(kKeys, 0);
    while (writing > 0) {
      wrong += !t->get({GYR_DTYPE_STRING, nullptr, ids.data(), ids.size()}, kAll, {0, 1, 2}, &out, &status).ok();
      check(out, status);
      for (size_t i = 0; i < size_t(kKeys); i++) {
        if (status[i] != GYR_VALUE_PRESENT) continue;
        wrong += out.columns[0].ints[i] < last[i];  // never back to an older row
        last[i] = out.columns[0].ints[i];
      }
      if (seed % 2 == 0) continue;
      for (uint64_t cursor = 0; cursor != UINT64_MAX;) wrong += !t->scan(&cursor, 7, &out).ok();
      ContainerWriter file;
      wrong += !t->save(&file, "t").ok();
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 3; i++) threads.emplace_back(reader, i);
  for (uint64_t i = 0; i < uint64_t(kWriters); i++) threads.emplace_back(writer, i);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GE(applied, uint64_t(kKeys));
  EXPECT_EQ(t->rows(), uint64_t(kKeys));
  Batch out;
  std::vector<uint8_t> status;
  ASSERT_TRUE(t->get({GYR_DTYPE_STRING, nullptr, ids.data(), ids.size()}, kAll, {0, 1, 2}, &out, &status).ok());
  check(out, status);
  EXPECT_EQ(wrong, 0u);
  for (size_t i = 0; i < size_t(kKeys); i++) EXPECT_EQ(out.columns[0].ints[i], newest[i]) << i;
}

TEST(Table, ReadersSeeWholeRowsUnderUpserts) {
  auto t = make(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"a","dtype":"int64"},
    {"name":"l","dtype":"int32","list":true}]})");
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> torn{0};
  auto writer = [&] {
    Random random{3};
    for (int64_t step = 1; step < 3000; step++) {
      Batch b;
      b.rows = 1;
      b.add("id", GYR_DTYPE_INT64, false).push_int(int64_t(random.below(20)));
      b.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(step);
      b.add("a", GYR_DTYPE_INT64, false).push_int(step);
      Column& l = b.add("l", GYR_DTYPE_INT32, true);
      for (int64_t k = 0; k < step % 9; k++) l.push_int(step);
      l.end_list();
      if (!t->upsert(b, nullptr).ok()) torn++;
    }
    stop = true;
  };
  auto reader = [&] {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 20; i++) ids.push_back(i);
    Batch out;
    std::vector<uint8_t> status;
    while (!stop) {
      if (!t->get({GYR_DTYPE_INT64, ids.data(), nullptr, ids.size()}, kAll, {0, 1}, &out, &status).ok()) torn++;
      for (size_t i = 0; i < ids.size(); i++) {
        int64_t a = out.columns[0].ints[i], begin = out.columns[1].list_offsets[i],
                end = out.columns[1].list_offsets[i + 1];
        torn += end - begin != a % 9;
        for (int64_t k = begin; k < end; k++) torn += out.columns[1].ints[size_t(k)] != a;
      }
    }
  };
  std::thread r1(reader), r2(reader), w(writer);
  w.join(), r1.join(), r2.join();
  EXPECT_EQ(torn, 0u);
}

TEST(TableSchema, MessagesSayWhatIsExpectedAndWhatIsThere) {
  auto said = [](const char* schema) { return std::string(Table::create(runtime(), schema).status().message()); };
  EXPECT_EQ(said(R"({"name":"t","key":"id","columns":[{"name":"a","dtype":"int64","size":3}]})"),
            "columns[0].size: unknown key; known: name, dtype, list");
  EXPECT_EQ(said(R"({"name":"t","key":"id","columns":[{"name":"a","dtype":"int46"}]})"),
            "columns[0].dtype: expected bool, int8..int64, uint8..uint64, float32, float64, string or timestamp, got "
            "\"int46\"");
  EXPECT_EQ(said(R"({"name":"t","key":"id"})"), "columns: is required (an array of columns, may be empty)");
  EXPECT_EQ(said(R"({"name":"t","key":"id","columns":{}})"), "columns: expected an array of columns, got {}");
}

}  // namespace
}  // namespace gyr
