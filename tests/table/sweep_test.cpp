// Expired rows swept away, memory estimated before a load, and a table's own budget.
#include <algorithm>
#include <thread>

#include "base/random.h"
#include "table/table_impl.h"
#include "tests/support/knobs.h"
#include "tests/table/rows.h"

namespace gyr {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr const char* kShort = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":10,
  "columns":[{"name":"v","dtype":"int64"}]})";

struct Swept {
  uint64_t removed = 0, steps = 0;
};
Swept sweep(Table* t, int64_t now, uint64_t step) {
  Swept s;
  for (uint64_t cursor = 0; cursor != UINT64_MAX; s.steps++) {
    uint64_t n = 0;
    Status status = t->sweep(now, step, &cursor, &n);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_LE(n, step);
    s.removed += n;
  }
  return s;
}
void fill(Table* t, int64_t n) {
  for (int64_t id = 0; id < n; id++) ASSERT_TRUE(t->upsert(row(id, id * kSecond, {{"v", id}}), nullptr).ok());
}

TEST(TableSweep, RemovesWhatHasExpiredInBoundedSteps) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");  // rows of one hash are looked at together
  auto t = make(kShort);
  fill(t.get(), 1000);
  Swept s = sweep(t.get(), 500 * kSecond, 50);
  EXPECT_EQ(s.removed, 490u) << "rows of 490 s and later are alive at 500 s";
  EXPECT_GE(s.steps, 1000u / 50);
  EXPECT_EQ(t->rows(), 510u);
  EXPECT_EQ(get(*t, {489, 490}, 500 * kSecond, {0}).status, (std::vector<uint8_t>{GYR_VALUE_MISSING, 0}));
  EXPECT_EQ(sweep(t.get(), 500 * kSecond, 50).removed, 0u);
  EXPECT_EQ(sweep(t.get(), 0, 1 << 20).removed, 510u) << "by the wall clock all of it is old";
}

TEST(TableSweep, LeavesRowsWithoutATtl) {
  auto t = make(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"v","dtype":"int64"}]})");
  fill(t.get(), 10);
  EXPECT_EQ(sweep(t.get(), kAll - 1, 100).removed, 0u);
}

TEST(TableSweep, StringKeys) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");  // rows of one hash are looked at together
  auto t = make(R"({"name":"t","key":"id","key_dtype":"string","event_time":"ts","ttl_seconds":10,"columns":[]})");
  for (int64_t i = 0; i < 100; i++) {
    Batch b;
    b.rows = 1;
    b.add("id", GYR_DTYPE_STRING, false).push_string(std::string(size_t(i), 'k'));
    b.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(i * kSecond);
    ASSERT_TRUE(t->upsert(b, nullptr).ok());
  }
  EXPECT_EQ(sweep(t.get(), 60 * kSecond, 7).removed, 50u);
  EXPECT_EQ(t->rows(), 50u);
}

TEST(TableSweep, HistoryGoesWithItsRow) {
  auto schema = [](const char* history) {
    return R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":10,"history":)" + std::string(history) +
           R"(,"columns":[{"name":"v","dtype":"int64"}]})";
  };
  auto timed = make(schema(R"({"seconds":100})").c_str());
  fill(timed.get(), 10);
  EXPECT_EQ(sweep(timed.get(), 50 * kSecond, 100).removed, 0u) << "as-of reads may still ask for them";
  EXPECT_EQ(sweep(timed.get(), 115 * kSecond, 100).removed, 5u);
  EXPECT_EQ(timed->rows(), 5u);
  EXPECT_EQ(timed->versions(), 5u);
  auto counted = make(schema(R"({"versions":2})").c_str());
  fill(counted.get(), 10);
  EXPECT_EQ(sweep(counted.get(), 999 * kSecond, 100).removed, 0u);
}

TEST(TableSweep, ARowStaysWhileAViewOfItLives) {
  auto t = make(R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":10,"columns":[{"name":"v","dtype":"int64"},
    {"name":"w","dtype":"int64"}],"views":[{"name":"x","event_time":"wt","ttl_seconds":50,"columns":["w"]}]})");
  for (int64_t id : {1, 2}) {
    Batch b = row(id, 5 * kSecond, {{"v", 1}, {"w", 2}});
    Column& wt = b.add("wt", GYR_DTYPE_TIMESTAMP, false);
    if (id == 1) {
      wt.push_int(7 * kSecond);
    } else {
      wt.push_null_row();
      b.columns[3].reset(GYR_DTYPE_INT64, false);
      b.columns[3].push_null_row();
    }
    Status s = t->upsert(b, nullptr);
    ASSERT_TRUE(s.ok()) << s.message();
  }
  EXPECT_EQ(sweep(t.get(), 20 * kSecond, 100).removed, 1u);
  EXPECT_EQ(get(*t, {1}, 20 * kSecond, {0, 1}).status, (std::vector<uint8_t>{GYR_VALUE_EXPIRED, 0}));
  EXPECT_EQ(sweep(t.get(), 58 * kSecond, 100).removed, 1u);
}

// A row that is written between being seen and being removed stays.
TEST(TableSweep, BesideWriters) {
  constexpr int64_t kRows = 256;
  std::vector<int64_t> ids(kRows);
  for (int64_t id = 0; id < kRows; id++) ids[size_t(id)] = id;
  for (int round = 0; round < 100; round++) {
    auto t = make(kShort);
    fill(t.get(), kRows);  // all of it expired at 1000 s
    std::atomic<bool> go{false};
    std::thread writer([&] {
      while (!go) std::this_thread::yield();
      for (int64_t id : ids) EXPECT_TRUE(t->upsert(row(id, 999 * kSecond, {{"v", 1}}), nullptr).ok());
    });
    go = true;
    sweep(t.get(), 1000 * kSecond, kRows);
    writer.join();
    ASSERT_EQ(int64_t(t->rows()), kRows) << "round " << round;
    for (uint8_t s : get(*t, ids, 1000 * kSecond, {0}).status) ASSERT_EQ(s, GYR_VALUE_PRESENT);
  }
}

// ---- memory -------------------------------------------------------------------------------------------------------

void expect_estimate(const std::string& schema, int64_t rows, bool strings, int versions) {
  auto t = make(schema.c_str());
  Random random{7};
  uint64_t variable = 0;
  Batch b;
  auto flush = [&] {
    Status s = t->upsert(b, nullptr);
    ASSERT_TRUE(s.ok()) << s.message();
  };
  for (int64_t begin = 0; begin < rows; begin += 1000) {
    b = {};
    b.rows = 1000 * std::max(versions, 1);
    b.add("id", GYR_DTYPE_INT64, false);
    b.add("ts", GYR_DTYPE_TIMESTAMP, false);
    for (const Field& f : t->columns()) b.add(f.name, f.dtype, f.is_list);
    for (int64_t i = 0; i < b.rows; i++) {
      b.columns[0].push_int(begin + i / std::max(versions, 1));
      b.columns[1].push_int(i);
      for (size_t c = 0; c < t->columns().size(); c++) {
        Column& column = b.columns[2 + c];
        if (column.dtype == GYR_DTYPE_STRING) {
          std::string s(random.below(60), 'x');
          variable += s.size();
          column.push_string(s);
        } else if (column.is_list) {
          uint64_t n = random.below(20);
          variable += n * 4;
          for (uint64_t k = 0; k < n; k++) column.push_float(1);
          column.end_list();
        } else {
          column.push_int(i);
        }
      }
    }
    flush();
  }
  variable /= uint64_t(rows) * uint64_t(std::max(versions, 1));
  EXPECT_EQ(variable > 0, strings);
  auto estimate = Table::estimate(schema, uint64_t(rows), variable, uint64_t(versions));
  ASSERT_TRUE(estimate.ok()) << estimate.status().message();
  double off = double(*estimate) / double(t->bytes()) - 1;
  // A history that is loaded entity by entity uses the small blocks again.
  EXPECT_GT(off, -0.15) << schema << ": " << rows << " rows, " << t->bytes() << " bytes, estimate " << *estimate;
  EXPECT_LT(off, versions ? 0.9 : 0.15) << schema << ": " << rows << " rows, " << t->bytes() << " bytes, estimate "
                                        << *estimate;
}

TEST(TableEstimate, IsNearWhatALoadTakes) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");
  GYR_SKIP_UNDER("GYR_TEST_CAPACITY");
  const std::string head = R"({"name":"t","key":"id","event_time":"ts",)";
  for (int64_t rows : {20'000, 100'000, 300'000})
    expect_estimate(head + R"("columns":[{"name":"a","dtype":"int64"},{"name":"b","dtype":"int64"}]})", rows, false, 0);
  std::string wide = R"("columns":[)";
  for (int i = 0; i < 20; i++)
    wide += (i ? R"(,{"name":"c)" : R"({"name":"c)") + std::to_string(i) + R"(","dtype":"int64"})";
  expect_estimate(head + wide + "]}", 100'000, false, 0);
  expect_estimate(head + R"("columns":[{"name":"a","dtype":"int64"},{"name":"s","dtype":"string"},
    {"name":"l","dtype":"float32","list":true}]})",
                  100'000, true, 0);
  expect_estimate(head + R"("history":{"versions":8},"columns":[{"name":"a","dtype":"int64"},
    {"name":"b","dtype":"int64"}]})",
                  20'000, false, 8);
}

TEST(TableEstimate, IsNearWhatHistoriesTakeThatGrowSideBySide) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");
  GYR_SKIP_UNDER("GYR_TEST_CAPACITY");
  for (const char* columns : {R"("columns":[{"name":"a","dtype":"int64"},{"name":"b","dtype":"float32"}]})",
                              R"("columns":[{"name":"a","dtype":"int64"},{"name":"s","dtype":"string"}]})"}) {
    const std::string schema =
        R"({"name":"t","key":"id","event_time":"ts","history":{"versions":16},)" + std::string(columns);
    auto t = make(schema.c_str());
    constexpr int64_t kRows = 20'000;
    const bool strings = t->columns()[1].dtype == GYR_DTYPE_STRING;
    for (int64_t round = 1; round <= 40; round++) {
      Batch b;
      b.rows = kRows;
      b.add("id", GYR_DTYPE_INT64, false);
      b.add("ts", GYR_DTYPE_TIMESTAMP, false).ints.assign(kRows, round);
      b.add("a", GYR_DTYPE_INT64, false).ints.assign(kRows, round);
      Column& other = b.add(t->columns()[1].name, t->columns()[1].dtype, false);
      for (int64_t i = 0; i < kRows; i++) {
        b.columns[0].push_int(i);
        strings ? other.push_string(std::string(size_t(i % 40), 'x')) : other.push_float(1);
      }
      ASSERT_TRUE(t->upsert(b, nullptr).ok());
      if (round != 1 && round != 4 && round != 7 && round != 16 && round != 40) continue;
      auto estimate = Table::estimate(schema, kRows, strings ? 20 : 0, uint64_t(std::min<int64_t>(round, 16)));
      ASSERT_TRUE(estimate.ok());
      EXPECT_NEAR(double(*estimate) / double(t->bytes()), 1, 0.15)
          << round << " rounds: " << t->bytes() << " bytes, estimate " << *estimate;
    }
  }
}

TEST(TableEstimate, RefusesWhatCannotBe) {
  auto code = [](const char* schema, uint64_t rows, uint64_t bytes, uint64_t versions) {
    return Table::estimate(schema, rows, bytes, versions).status().code();
  };
  EXPECT_EQ(code(kShort, 1000, 0, 0), GYR_OK);
  EXPECT_EQ(code(kShort, 1000, 0, 1), GYR_E_INVALID_ARGUMENT) << "no history";
  EXPECT_EQ(code(kShort, UINT64_MAX, 0, 0), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code(kShort, 5, UINT64_MAX, 0), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code("{", 5, 0, 0), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(*Table::estimate(kShort, uint64_t(1) << 46, uint64_t(1) << 46, 0), UINT64_MAX) << "more than can be said";
}

TEST(TableBudget, HoldsAndLeavesTheRowsBeforeIn) {
  for (const char* history : {"", R"("history":{"versions":4},)"}) {
    std::string schema = R"({"name":"t","key":"id","event_time":"ts","memory_budget":2000000,)" + std::string(history) +
                         R"("columns":[{"name":"v","dtype":"int64"}]})";
    auto t = make(schema.c_str());
    Status s;
    int64_t in = 0;
    for (; in < 1'000'000 && s.ok(); in += s.ok()) s = t->upsert(row(in, 5, {{"v", in}}), nullptr);
    ASSERT_EQ(s.code(), GYR_E_RESOURCE_EXHAUSTED) << s.message();
    EXPECT_NE(std::string(s.message()).find("memory_budget"), std::string::npos) << s.message();
    EXPECT_GT(in, 2000);
    EXPECT_EQ(int64_t(t->rows()), in);
    EXPECT_EQ(int64_t(t->versions()), *history ? in : 0) << "a version without its row";
    EXPECT_LE(t->bytes(), 2'000'000 + 2 * sizeof(KeyedRows));
    for (int64_t id = 0; id < in; id += 97) ASSERT_EQ(get(*t, {id}, kAll, {0}).batch.columns[0].ints[0], id);
    // What goes makes room.
    std::vector<int64_t> ids;
    for (int64_t id = 0; id < in / 2; id++) ids.push_back(id);
    ASSERT_TRUE(t->remove({GYR_DTYPE_INT64, ids.data(), nullptr, ids.size()}, nullptr).ok());
    s = t->upsert(row(1, 5, {{"v", 1}}), nullptr);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  auto none = Table::create(runtime(), R"({"name":"t","key":"id","memory_budget":10,"columns":[]})");
  EXPECT_EQ(none.status().code(), GYR_E_INVALID_ARGUMENT) << none.status().message();
}

}  // namespace
}  // namespace gyr
