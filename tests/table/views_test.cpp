// Groups of columns with an event time and a TTL of their own.
#include "tests/table/rows.h"

namespace gyr {
namespace {

using Texts = std::vector<std::string>;
constexpr int64_t kSecond = 1'000'000;

constexpr const char* kSchema = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":100,"history":{"versions":4},
  "created_time":"created",
  "columns":[{"name":"v","dtype":"int64"},{"name":"clicks","dtype":"int64"},{"name":"page","dtype":"string"},
             {"name":"bought","dtype":"int64"}],
  "views":[{"name":"clicked","event_time":"clicked_at","ttl_seconds":10,"columns":["clicks","page"]},
           {"name":"orders","event_time":"ordered_at","columns":["bought"]}]})";

Batch news(int64_t id, std::vector<std::pair<std::string, int64_t>> times,
           std::vector<std::pair<std::string, int64_t>> values) {
  Batch b;
  b.rows = 1;
  b.add("id", GYR_DTYPE_INT64, false).push_int(id);
  for (auto& [name, t] : times) {
    Column& c = b.add(name, GYR_DTYPE_TIMESTAMP, false);
    t == RowFormat::kNever ? c.push_null_leaf() : c.push_int(t);
  }
  for (auto& [name, v] : values) {
    if (name == "page")
      b.add(name, GYR_DTYPE_STRING, false).push_string(std::to_string(v));
    else
      b.add(name, GYR_DTYPE_INT64, false).push_int(v);
  }
  b.add("created", GYR_DTYPE_TIMESTAMP, false).push_int(0);
  return b;
}
char put(Table* t, const Batch& b) {
  Table::UpsertStats s;
  Status status = t->upsert(b, &s);
  EXPECT_TRUE(status.ok()) << status.message();
  return s.applied ? 'a' : s.late ? 'l' : 's';
}
// v, clicks, page, bought of one row: the value, or why there is none.
Texts read(const Table& t, int64_t id, int64_t now) {
  Got g = get(t, {id}, now, {0, 1, 2, 3});
  static const char* const kWhy[] = {"", "null", "missing", "expired"};
  Texts out;
  for (size_t c = 0; c < 4; c++)
    out.push_back(g.status[c]                                    ? kWhy[g.status[c]]
                  : g.batch.columns[c].dtype == GYR_DTYPE_STRING ? std::string(g.batch.columns[c].string(0))
                                                                 : std::to_string(g.batch.columns[c].ints[0]));
  return out;
}

TEST(TableViews, EachHasItsOwnTimes) {
  auto t = make(kSchema);
  EXPECT_EQ(put(t.get(), news(1, {{"ts", 5 * kSecond}}, {{"v", 1}})), 'a');
  EXPECT_EQ(read(*t, 1, 6 * kSecond), (Texts{"1", "missing", "missing", "missing"}));
  EXPECT_EQ(put(t.get(), news(1, {{"clicked_at", 8 * kSecond}}, {{"clicks", 3}, {"page", 77}})), 'a');
  EXPECT_EQ(read(*t, 1, 6 * kSecond), (Texts{"1", "missing", "missing", "missing"})) << "before its event time";
  EXPECT_EQ(read(*t, 1, 8 * kSecond), (Texts{"1", "3", "77", "missing"}));
  EXPECT_EQ(read(*t, 1, 18 * kSecond), (Texts{"1", "3", "77", "missing"}));
  EXPECT_EQ(read(*t, 1, 18 * kSecond + 1), (Texts{"1", "expired", "expired", "missing"}));
  EXPECT_EQ(read(*t, 1, 106 * kSecond), (Texts{"expired", "expired", "expired", "missing"}));
  EXPECT_EQ(put(t.get(), news(1, {{"ordered_at", 2 * kSecond}}, {{"bought", 9}})), 'a') << "older than other views";
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"1", "3", "77", "9"}));
  EXPECT_EQ(read(*t, 1, 999 * kSecond), (Texts{"expired", "expired", "expired", "9"})) << "no TTL";
}

TEST(TableViews, TheNewestEventWinsInEach) {
  auto t = make(kSchema);
  put(t.get(), news(1, {{"ts", 10}, {"clicked_at", 20}}, {{"v", 1}, {"clicks", 2}, {"page", 3}}));
  // One group is newer, the other older.
  EXPECT_EQ(put(t.get(), news(1, {{"ts", 11}, {"clicked_at", 19}}, {{"v", 4}, {"clicks", 5}})), 'a');
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"4", "2", "3", "missing"}));
  EXPECT_EQ(put(t.get(), news(1, {{"ts", 9}, {"clicked_at", 18}}, {{"v", 6}, {"clicks", 7}})), 'l');
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"4", "2", "3", "missing"}));
  // What is left out of a view stays, unless it had expired by then.
  EXPECT_EQ(put(t.get(), news(1, {{"clicked_at", 21}}, {{"clicks", 8}})), 'a');
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"4", "8", "3", "missing"}));
  EXPECT_EQ(put(t.get(), news(1, {{"clicked_at", 22 + 10 * kSecond}}, {{"clicks", 9}})), 'a');
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"4", "9", "null", "missing"}));
}

TEST(TableViews, ANullEventTimeBringsNothing) {
  auto t = make(kSchema);
  put(t.get(), news(1, {{"ts", 10}, {"clicked_at", RowFormat::kNever}}, {{"v", 1}}));
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"1", "missing", "missing", "missing"}));
  EXPECT_EQ(put(t.get(), news(2, {{"ts", RowFormat::kNever}}, {})), 's');
  EXPECT_EQ(t->rows(), 1u);
  Status s = t->upsert(news(1, {{"ts", RowFormat::kNever}}, {{"v", 2}}), nullptr);
  EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT) << s.message();
  s = t->upsert(news(1, {{"ts", 11}}, {{"clicks", 2}}), nullptr);
  EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT) << "columns without their view's time: " << s.message();
  EXPECT_NE(std::string(s.message()).find("clicked_at"), std::string::npos) << s.message();
  s = t->upsert(news(1, {}, {}), nullptr);
  EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT) << s.message();
}

TEST(TableViews, AreReadAsOfATimeEach) {
  auto t = make(kSchema);
  for (int64_t s : {1, 5, 9}) put(t.get(), news(1, {{"ts", s * kSecond}}, {{"v", s}}));
  for (int64_t s : {2, 6, 3}) put(t.get(), news(1, {{"clicked_at", s * kSecond}}, {{"clicks", s}}));
  std::vector<int64_t> times{1 * kSecond, 2 * kSecond, 4 * kSecond, 6 * kSecond, 16 * kSecond, 16 * kSecond + 1};
  std::vector<int64_t> ids(times.size(), 1);
  EXPECT_EQ(as_of(*t, ids, times, "v"), (Texts{"1", "1", "1", "5", "9", "9"}));
  EXPECT_EQ(as_of(*t, ids, times, "clicks"), (Texts{"missing", "2", "3", "6", "6", "expired"}));
  EXPECT_EQ(as_of(*t, ids, times, "bought"), Texts(times.size(), "missing"));
  EXPECT_EQ(t->versions(), 6u);
}

TEST(TableViews, SurviveSavingAndExport) {
  auto t = make(kSchema);
  for (int64_t id = 0; id < 500; id++) {
    if (id % 2) put(t.get(), news(id, {{"ts", 1 + id}}, {{"v", id}}));
    if (id % 3) put(t.get(), news(id, {{"clicked_at", 2 + id}}, {{"clicks", id}, {"page", id}}));
    if (id % 5) put(t.get(), news(id, {{"ordered_at", 3 + id}}, {{"bought", id}}));
  }
  auto again = reopened(*t);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->versions(), t->versions());
  auto copy = make(kSchema);  // a scan can be upserted
  Batch batch;
  for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
    ASSERT_TRUE(t->scan(&cursor, 64, &batch).ok());
    Status s = copy->upsert(batch, nullptr);
    ASSERT_TRUE(s.ok()) << s.message();
  }
  ASSERT_EQ(copy->rows(), t->rows());
  for (int64_t id = 0; id < 501; id++)
    for (int64_t now : {id, id + 1, id + 2, kAll}) {
      ASSERT_EQ(read(*again, id, now), read(*t, id, now)) << id;
      ASSERT_EQ(read(*copy, id, now), read(*t, id, now)) << id;
    }
}

TEST(TableViews, RowsOfValues) {
  auto t = make(kSchema);
  int64_t id = 1;
  const char* names[] = {"v", "bought", "created"};
  gyr_value values[3]{};
  for (auto& v : values) v.dtype = GYR_DTYPE_INT64, v.i = 7;
  Batch b;
  ASSERT_TRUE(row_batch(*t, {GYR_DTYPE_INT64, &id, nullptr, 1}, 5, names, values, 3, &b).ok());
  EXPECT_EQ(put(t.get(), b), 'a');
  EXPECT_EQ(read(*t, 1, kAll), (Texts{"7", "missing", "missing", "7"}));
  EXPECT_EQ(as_of(*t, {1, 1}, {6, 7}, "bought"), (Texts{"missing", "7"}));
}

TEST(TableViews, WrongSchemas) {
  auto refused = [](const std::string& views, const char* where) {
    std::string text = R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"a","dtype":"int8"},
      {"name":"b","dtype":"int8"}],"views":)" +
                       views + "}";
    auto t = Table::create(runtime(), text);
    ASSERT_FALSE(t.ok()) << text;
    EXPECT_EQ(t.status().code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(t.status().message()).find(where), std::string::npos) << t.status().message();
  };
  refused("3", "views");
  refused("[3]", "views[0]");
  refused(R"([{"event_time":"x","columns":["a"]}])", "views[0].name");
  refused(R"([{"name":"w","columns":["a"]}])", "views[0].event_time");
  refused(R"([{"name":"w","event_time":"ts","columns":["a"]}])", "views[0].event_time");
  refused(R"([{"name":"w","event_time":"x","columns":[]}])", "views[0].columns");
  refused(R"([{"name":"w","event_time":"x","columns":["c"]}])", "views[0].columns");
  refused(R"([{"name":"w","event_time":"x","columns":["a","a"]}])", "views[0].columns");
  refused(R"([{"name":"w","event_time":"x","columns":["a"]},{"name":"y","event_time":"z","columns":["a"]}])",
          "views[1].columns");
  refused(R"([{"name":"w","event_time":"x","columns":["a"]},{"name":"w","event_time":"z","columns":["b"]}])",
          "views[1].name");
  refused(R"([{"name":"w","event_time":"x","columns":["a"],"ttl":3}])", "ttl");
}

}  // namespace
}  // namespace gyr
