// What rows were: as-of reads, late events, bounds, and joins with labels.
#include "tests/table/rows.h"

namespace gyr {
namespace {

using Texts = std::vector<std::string>;

std::string schema(int64_t ttl_seconds, const char* history, bool created = true) {
  return R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":)" + std::to_string(ttl_seconds) +
         (created ? R"(,"created_time":"created")" : "") + R"(,"history":)" + history +
         R"(,"columns":[{"name":"v","dtype":"int64"},{"name":"w","dtype":"int64"}]})";
}
Batch version(int64_t id, int64_t ts, int64_t created, std::vector<std::pair<std::string, int64_t>> values) {
  Batch b = row(id, ts, std::move(values));
  b.add("created", GYR_DTYPE_TIMESTAMP, false).push_int(created);
  return b;
}
// What one upsert of one row did: 'a'pplied, 'l'ate or 's'tale.
char put(Table* t, const Batch& b, int64_t clock = 0) {
  Table::UpsertStats s;
  Status status = t->upsert(b, &s, clock);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(s.rows, 1u);
  EXPECT_EQ(s.applied + s.late + s.stale, 1u);
  return s.applied ? 'a' : s.late ? 'l' : 's';
}

// Rows at 10:00 v1, 11:00 v2, 11:00 v3 (created 11:05), 12:30 v4; the others were known at once.
std::shared_ptr<Table> four_versions(int64_t ttl_seconds) {
  auto t = make(schema(ttl_seconds, R"({"versions":8})").c_str());
  EXPECT_EQ(put(t.get(), version(1, at(10, 0), at(10, 0), {{"v", 1}})), 'a');
  EXPECT_EQ(put(t.get(), version(1, at(11, 0), at(11, 0), {{"v", 2}})), 'a');
  EXPECT_EQ(put(t.get(), version(1, at(11, 0), at(11, 5), {{"v", 3}})), 'a');
  EXPECT_EQ(put(t.get(), version(1, at(12, 30), at(12, 30), {{"v", 4}})), 'a');
  return t;
}

TEST(TableHistory, ReadsRowsAsTheyWere) {
  auto t = four_versions(7200);
  std::vector<int64_t> times{at(9, 59), at(10, 0), at(11, 0), at(12, 0), at(12, 30), at(14, 30), at(14, 31)};
  std::vector<int64_t> ids(times.size(), 1);
  // Feast's reading: what was created later counts, too.
  EXPECT_EQ(as_of(*t, ids, times, "v", false), (Texts{"missing", "1", "3", "3", "4", "4", "expired"}));
  EXPECT_EQ(as_of(*t, ids, times, "v"), (Texts{"missing", "1", "2", "3", "4", "4", "expired"}));
  EXPECT_EQ(as_of(*t, {1, 1}, {at(11, 2), at(11, 5)}, "v"), (Texts{"2", "3"}));
  EXPECT_EQ(as_of(*t, {1, 1}, {at(11, 2), at(11, 5)}, "v", false), (Texts{"3", "3"}));
  EXPECT_EQ(as_of(*t, {1, 2}, {kAll, kAll}, "v"), (Texts{"4", "missing"}));
  EXPECT_EQ(as_of(*t, {1}, {at(14, 0)}, "w"), (Texts{"null"}));
  EXPECT_EQ(t->versions(), 4u);
}

TEST(TableHistory, WithoutATtlNothingExpires) {
  auto t = four_versions(0);
  EXPECT_EQ(as_of(*t, {1}, {at(23, 0)}, "v"), (Texts{"4"}));
}

TEST(TableHistory, OlderEventsAreKeptButDoNotReplaceTheRow) {
  auto t = make(schema(0, R"({"versions":8})").c_str());
  EXPECT_EQ(put(t.get(), version(1, 5, 10, {{"v", 50}})), 'a');
  EXPECT_EQ(put(t.get(), version(1, 3, 11, {{"v", 30}})), 'l');
  EXPECT_EQ(put(t.get(), version(1, 5, 9, {{"v", 51}})), 'l') << "the same event, but what was known of it before";
  EXPECT_EQ(get(*t, {1}, kAll, {0}).batch.columns[0].ints[0], 50);
  EXPECT_EQ(put(t.get(), version(1, 6, 12, {{"v", 60}})), 'a');
  EXPECT_EQ(get(*t, {1}, kAll, {0}).batch.columns[0].ints[0], 60);
  EXPECT_EQ(as_of(*t, {1, 1, 1, 1, 1}, {3, 4, 5, 6, 12}, "v", false), (Texts{"30", "30", "50", "60", "60"}));
  EXPECT_EQ(as_of(*t, {1, 1, 1, 1}, {8, 9, 10, 12}, "v"), (Texts{"missing", "51", "50", "60"}));
}

TEST(TableHistory, AReplayChangesNothing) {
  auto t = make(schema(0, R"({"versions":8})").c_str());
  std::vector<Batch> log{version(1, 5, 5, {{"v", 50}}), version(1, 3, 6, {{"v", 30}}), version(1, 9, 9, {{"w", 9}}),
                         version(1, 5, 7, {{"v", 51}})};
  auto state = [&] { return as_of(*t, {1, 1, 1, 1, 1, 1}, {3, 5, 6, 7, 9, kAll}, "v"); };
  for (auto& b : log) put(t.get(), b);
  Texts first = state();
  EXPECT_EQ(first, (Texts{"missing", "50", "50", "51", "50", "50"}));
  for (auto& b : log) put(t.get(), b);
  EXPECT_EQ(state(), first);
  EXPECT_EQ(t->versions(), 4u);
  EXPECT_EQ(get(*t, {1}, kAll, {0, 1}).batch.columns[0].ints[0], 50);
}

// A version is the row as it was then: the one before it, and what the event brought.
TEST(TableHistory, ALateEventIsMergedIntoTheVersionBeforeIt) {
  auto t = make(schema(10, R"({"versions":8})").c_str());
  constexpr int64_t kSecond = 1'000'000;
  put(t.get(), version(1, 1 * kSecond, 1, {{"v", 1}, {"w", 10}}));
  put(t.get(), version(1, 9 * kSecond, 1, {{"v", 9}}));
  EXPECT_EQ(put(t.get(), version(1, 5 * kSecond, 1, {{"v", 5}})), 'l');
  EXPECT_EQ(as_of(*t, {1, 1}, {5 * kSecond, 9 * kSecond}, "w"), (Texts{"10", "10"}));
  EXPECT_EQ(as_of(*t, {1, 1}, {5 * kSecond, 9 * kSecond}, "v"), (Texts{"5", "9"}));
  // What had expired by the event's time is not merged in.
  put(t.get(), version(1, 60 * kSecond, 1, {{"v", 60}}));
  EXPECT_EQ(put(t.get(), version(1, 30 * kSecond, 1, {{"v", 30}})), 'l');
  EXPECT_EQ(as_of(*t, {1, 1}, {30 * kSecond, 60 * kSecond}, "w"), (Texts{"null", "null"}));
}

TEST(TableHistory, TheClockSaysWhenARowBecameKnown) {
  auto t = make(schema(0, R"({"versions":8})", false).c_str());
  put(t.get(), row(1, 5, {{"v", 1}}), 100);
  put(t.get(), row(1, 5, {{"v", 2}}), 200);
  EXPECT_EQ(as_of(*t, {1, 1, 1, 1}, {99, 100, 199, 200}, "v"), (Texts{"missing", "1", "1", "2"}));
  // And without a clock in the test's hand it is now, long after these.
  put(t.get(), row(2, 5, {{"v", 3}}));
  EXPECT_EQ(as_of(*t, {2, 2}, {1'000'000, kAll}, "v"), (Texts{"missing", "3"}));
  EXPECT_EQ(as_of(*t, {2}, {1'000'000}, "v", false), (Texts{"3"}));
}

TEST(TableHistory, KeepsSoManyVersions) {
  auto t = make(schema(0, R"({"versions":3})").c_str());
  for (int64_t ts = 1; ts <= 10; ts++) put(t.get(), version(1, ts, ts, {{"v", ts}}));
  EXPECT_EQ(t->versions(), 3u);
  EXPECT_EQ(as_of(*t, {1, 1, 1, 1}, {7, 8, 9, 10}, "v"), (Texts{"missing", "8", "9", "10"}));
  EXPECT_EQ(put(t.get(), version(1, 2, 11, {{"v", 2}})), 's') << "older than everything in a full ring";
  EXPECT_EQ(t->versions(), 3u);
}

// Reads of the last T seconds before the newest version find what they would find without the bound.
TEST(TableHistory, KeepsSoManySeconds) {
  constexpr int64_t kSecond = 1'000'000;
  auto t = make(schema(0, R"({"seconds":10})").c_str());
  for (int64_t s : {1, 4, 5, 11, 14, 20}) put(t.get(), version(1, s * kSecond, 0, {{"v", s}}));
  // The horizon is 10 s, where 5 is in force.
  EXPECT_EQ(as_of(*t, {1, 1, 1, 1}, {4 * kSecond, 5 * kSecond, 10 * kSecond, 20 * kSecond}, "v"),
            (Texts{"missing", "5", "5", "20"}));
  EXPECT_EQ(t->versions(), 4u);
  auto both = make(schema(0, R"({"seconds":10,"versions":2})").c_str());
  for (int64_t s : {1, 4, 5, 11, 14, 20}) put(both.get(), version(1, s * kSecond, 0, {{"v", s}}));
  EXPECT_EQ(both->versions(), 2u);
}

TEST(TableHistory, DeletedRowsHaveNone) {
  auto t = four_versions(0);
  put(t.get(), version(2, 5, 5, {{"v", 7}}));
  uint64_t removed = 0;
  int64_t id = 1;
  ASSERT_TRUE(t->remove({GYR_DTYPE_INT64, &id, nullptr, 1}, &removed).ok());
  EXPECT_EQ(removed, 1u);
  EXPECT_EQ(t->versions(), 1u);
  EXPECT_EQ(as_of(*t, {1, 2}, {kAll, kAll}, "v"), (Texts{"missing", "7"}));
  EXPECT_EQ(put(t.get(), version(1, 3, 3, {{"v", 8}})), 'a') << "nothing newer is left";
}

TEST(TableHistory, SurvivesSaving) {
  auto t = four_versions(7200);
  for (int64_t id = 2; id < 3000; id++)
    for (int64_t ts = 1; ts <= id % 4; ts++) put(t.get(), version(id, ts, ts + id, {{"v", id * 10 + ts}}));
  auto again = reopened(*t);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->rows(), t->rows());
  EXPECT_EQ(again->versions(), t->versions());
  std::vector<int64_t> ids, times;
  for (int64_t id = 1; id < 3000; id++)
    for (int64_t time : {int64_t(2), id + 1, id + 2, id + 9, at(11, 2), at(12, 40), kAll})
      ids.push_back(id), times.push_back(time);
  for (bool known : {true, false})
    for (const char* column : {"v", "w"})
      EXPECT_EQ(as_of(*again, ids, times, column, known), as_of(*t, ids, times, column, known));
  EXPECT_EQ(put(again.get(), version(2, 1, 1, {{"v", 3}})), 'l');
}

TEST(TableHistory, DamagedFilesAreRefused) {
  auto t = four_versions(7200);
  ContainerWriter writer;
  ASSERT_TRUE(t->save(&writer, "t").ok());
  auto payload = *(*Container::parse(*writer.serialize()))->read("t", "TBL2");
  auto load = [&](std::vector<uint8_t> bytes, const char* kind = "TBL2") {
    ContainerWriter w;
    EXPECT_TRUE(w.add("t", kind, std::move(bytes)).ok());
    return Table::load(runtime(), **Container::parse(*w.serialize()), "t").status().code();
  };
  EXPECT_EQ(load(payload), GYR_OK);
  EXPECT_EQ(load(payload, "TBL1"), GYR_E_CORRUPT);
  EXPECT_EQ(load(payload, "TBL3"), GYR_E_FORMAT_TOO_NEW);
  int refused = 0;
  for (size_t i = 0; i < payload.size(); i++) {
    auto bad = payload;
    bad[i] ^= 0xff;
    gyr_status code = load(bad);
    EXPECT_TRUE(code == GYR_OK || code == GYR_E_CORRUPT) << i << ": " << code;  // times and values may be anything
    refused += code != GYR_OK;
    EXPECT_EQ(load({payload.begin(), payload.begin() + ptrdiff_t(i)}), GYR_E_CORRUPT) << i;
  }
  EXPECT_GT(refused, 100);
}

TEST(TableHistory, NeedsItsSchema) {
  auto t = make(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"v","dtype":"int64"}]})");
  int64_t id = 1, time = 5;
  gyr_table_column c{};
  Status s = t->read_as_of({GYR_DTYPE_INT64, &id, nullptr, 1}, &time, true, &c, 0);
  EXPECT_EQ(s.code(), GYR_E_INVALID_STATE) << s.message();
  auto refused = [](const std::string& text, const char* where) {
    auto t = Table::create(runtime(), text);
    ASSERT_FALSE(t.ok()) << text;
    EXPECT_EQ(t.status().code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(t.status().message()).find(where), std::string::npos) << t.status().message();
  };
  refused(schema(0, "{}"), "history");
  refused(schema(0, "3"), "history");
  refused(schema(0, R"({"versions":0})"), "history.versions");
  refused(schema(0, R"({"versions":1,"hours":1})"), "hours");
  refused(R"({"name":"t","key":"id","history":{"versions":3},"columns":[]})", "event_time");
  refused(R"({"name":"t","key":"id","event_time":"ts","created_time":"c","columns":[]})", "created_time");
  refused(R"({"name":"t","key":"id","event_time":"ts","created_time":"ts","history":{"versions":3},"columns":[]})",
          "created_time");
}

TEST(TableHistory, SecondsAloneKeepAsManyVersionsAsTheManualSays) {
  for (auto [history, kept] :
       {std::pair{R"({"seconds":86400})", 4096u}, {R"({"seconds":86400,"versions":5000})", 5000u}}) {
    auto t = make(schema(0, history, false).c_str());
    Batch b;
    b.rows = 6000;
    b.add("id", GYR_DTYPE_INT64, false).ints.assign(6000, 1);
    b.add("ts", GYR_DTYPE_TIMESTAMP, false);
    b.add("v", GYR_DTYPE_INT64, false);
    for (int64_t i = 0; i < b.rows; i++) b.columns[1].push_int(i), b.columns[2].push_int(i);
    ASSERT_TRUE(t->upsert(b, nullptr).ok());
    EXPECT_EQ(t->versions(), kept);
    const int64_t oldest = 6000 - kept;
    EXPECT_EQ(as_of(*t, {1, 1}, {oldest, oldest - 1}, "v", false),
              (std::vector<std::string>{std::to_string(oldest), "missing"}));
  }
}

// ---- joins --------------------------------------------------------------------------------------------------------

Result<AsOfJoin> join_of(const std::shared_ptr<Table>& t, const Batch& labels, AsOfJoin::Options o) {
  if (o.columns.empty()) o.columns = {"v"};
  return AsOfJoin::make(t, fields_of(labels), o);
}

TEST(TableHistory, JoinsLabelsWithRowsAsTheyWere) {
  auto t = four_versions(7200);
  constexpr int64_t kLabels = 1000;  // several chunks
  Batch labels;
  labels.rows = kLabels;
  labels.add("id", GYR_DTYPE_INT64, false);
  labels.add("ts", GYR_DTYPE_TIMESTAMP, false);
  labels.add("text", GYR_DTYPE_STRING, false);
  std::vector<int64_t> ids, times;
  for (int64_t i = 0; i < kLabels; i++) {
    ids.push_back(1 + i % 2), times.push_back(at(9, 50) + i * 20'000'000);
    labels.columns[0].push_int(ids.back());
    labels.columns[1].push_int(times.back());
    labels.columns[2].push_string(std::to_string(i));
  }
  for (bool known : {true, false}) {
    Batch copy = labels, out;
    auto join = join_of(t, copy, {.known = known, .key = "", .time = "", .prefix = "f_", .columns = {"w", "v"}});
    ASSERT_TRUE(join.ok()) << join.status().message();
    ASSERT_TRUE(join->run(&copy, &out).ok());
    EXPECT_EQ(out.names, (Texts{"id", "ts", "text", "f_w", "f_v"}));
    Texts want = as_of(*t, ids, times, "v", known);
    for (int64_t i = 0; i < kLabels; i++) {
      const Column& v = out.columns[4];
      Texts got{v.row_is_null(i) ? "null" : std::to_string(v.ints[size_t(i)])};
      if (want[size_t(i)] == "missing" || want[size_t(i)] == "expired") want[size_t(i)] = "null";
      ASSERT_EQ(got[0], want[size_t(i)]) << i;
      ASSERT_EQ(out.columns[2].string(i), std::to_string(i));
      ASSERT_TRUE(out.columns[3].row_is_null(i));
    }
  }
}

TEST(TableHistory, RefusesLabelsThatDoNotFit) {
  auto t = four_versions(0);
  Batch labels;
  labels.rows = 1;
  labels.add("id", GYR_DTYPE_INT64, false).push_int(1);
  labels.add("ts", GYR_DTYPE_TIMESTAMP, false).push_null_leaf();
  labels.add("v", GYR_DTYPE_STRING, false).push_string("x");
  auto code = [&](AsOfJoin::Options o) { return join_of(t, labels, std::move(o)).status().code(); };
  EXPECT_EQ(code({.columns = {"v"}}), GYR_E_INVALID_ARGUMENT) << "two columns v";
  EXPECT_EQ(code({.columns = {"w", "w"}}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({.columns = {"none"}}), GYR_E_NOT_FOUND);
  EXPECT_EQ(code({.key = "none", .columns = {"w"}}), GYR_E_NOT_FOUND);
  EXPECT_EQ(code({.key = "v", .columns = {"w"}}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({.time = "v", .columns = {"w"}}), GYR_E_INVALID_ARGUMENT);
  auto join = join_of(t, labels, {.columns = {"w"}});
  ASSERT_TRUE(join.ok());
  Batch out;
  Status s = join->run(&labels, &out);
  EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT) << "a null time: " << s.message();
}

}  // namespace
}  // namespace gyr
