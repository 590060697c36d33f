// Tables in folders: what is there after opening again, with other schemas, after damage, and beside other openers.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/random.h"
#include "table/live_table.h"
#include "tests/support/files.h"

namespace gyr {
namespace {

namespace fs = std::filesystem;
using test::slurp;
using test::spill;

constexpr const char* kSchema = R"({"name":"t","key":"id","event_time":"ts","columns":[
  {"name":"a","dtype":"int64"},{"name":"s","dtype":"string"}]})";

std::shared_ptr<Runtime> runtime(uint64_t budget = 0) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  o.memory_budget = budget;
  return *Runtime::create(o);
}

LiveOptions options(gyr_durability durability) {
  return {.durability = durability, .flush_ns = 1'000'000, .segment_bytes = 8192, .queue_bytes = 1 << 20};
}

Batch rows(const std::vector<int64_t>& ids, int64_t time, int64_t value, bool with_text = true) {
  Batch b;
  b.rows = int64_t(ids.size());
  b.add("id", GYR_DTYPE_INT64, false).ints = ids;
  b.add("ts", GYR_DTYPE_TIMESTAMP, false).ints.assign(ids.size(), time);
  b.add("a", GYR_DTYPE_INT64, false).ints.assign(ids.size(), value);
  if (!with_text) return b;
  Column& s = b.add("s", GYR_DTYPE_STRING, false);
  s.reset(GYR_DTYPE_STRING, false);
  for (size_t i = 0; i < ids.size(); i++) s.push_string("text of " + std::to_string(value));
  return b;
}

// Everything in the table as text, by key.
std::map<std::string, std::string> contents(const Table& table) {
  std::map<std::string, std::string> out;
  Batch b;
  for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
    EXPECT_TRUE(table.scan(&cursor, 1000, &b).ok());
    for (int64_t i = 0; i < b.rows; i++) {
      std::string text, key;
      for (size_t c = 0; c < b.columns.size(); c++) {
        const Column& column = b.columns[c];
        std::string value = column.row_is_null(i)                    ? "null"
                            : column.physical() == Physical::kString ? std::string(column.string(i))
                            : column.physical() == Physical::kFloat  ? std::to_string(column.floats[size_t(i)])
                                                                     : std::to_string(column.ints[size_t(i)]);
        (c == 0 ? key : text) += b.names[c] + "=" + value + " ";
      }
      out[key] = text;
    }
  }
  return out;
}

class Live : public ::testing::Test {
 protected:
  Live() {
    std::string base = access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : ::testing::TempDir();
    folder_ = base + "gyr-live-XXXXXX";
    if (!mkdtemp(folder_.data())) ADD_FAILURE();
    fs::remove(folder_);  // open_live makes it
  }
  ~Live() override { fs::remove_all(folder_); }

  Result<std::shared_ptr<Table>> try_open(const char* schema = kSchema, gyr_durability d = GYR_DURABILITY_ASYNC,
                                          uint64_t budget = 0) {
    return Table::open_live(runtime(budget), folder_, schema, options(d), nullptr);
  }
  std::shared_ptr<Table> open(const char* schema = kSchema, gyr_durability d = GYR_DURABILITY_ASYNC) {
    auto t = try_open(schema, d);
    EXPECT_TRUE(t.ok()) << t.status().message();
    return t.ok() ? *t : nullptr;
  }
  static void put(Table* t, const std::vector<int64_t>& ids, int64_t time, int64_t value, bool with_text = true) {
    Status s = t->upsert(rows(ids, time, value, with_text), nullptr);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  static void erase(Table* t, const std::vector<int64_t>& ids) {
    uint64_t n = 0;
    EXPECT_TRUE(t->remove({GYR_DTYPE_INT64, ids.data(), nullptr, ids.size()}, &n).ok());
  }
  std::vector<std::string> logs() const {
    std::vector<std::string> out;
    for (auto& e : fs::directory_iterator(folder_))
      if (uint64_t first; parse_segment_name(e.path().filename(), &first)) out.push_back(e.path());
    std::sort(out.begin(), out.end());
    return out;
  }
  static LiveInfo info(const Table& t) {
    LiveInfo i;
    EXPECT_TRUE(t.live_info(&i).ok());
    return i;
  }

  std::string folder_;
};

class LiveDurability : public Live, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(All, LiveDurability,
                         ::testing::Values(GYR_DURABILITY_ASYNC, GYR_DURABILITY_SYNC, GYR_DURABILITY_NONE));

TEST_P(LiveDurability, ComesBackAsItWas) {
  std::map<std::string, std::string> before;
  for (int round = 0; round < 4; round++) {
    auto t = open(round ? nullptr : kSchema, GetParam());
    ASSERT_TRUE(t);
    EXPECT_EQ(contents(*t), before) << round;
    for (int64_t i = 0; i < 200; i++) put(t.get(), {i % 37, (i * 7) % 37}, i, i + round * 1000, i % 3 > 0);
    erase(t.get(), {5, 6, 99});
    put(t.get(), {6}, 1, round);
    before = contents(*t);
    EXPECT_EQ(before.size(), 36u);
    if (GetParam() == GYR_DURABILITY_NONE || round == 1) {
      Status s = t->checkpoint(nullptr);
      ASSERT_TRUE(s.ok()) << s.message();
    }
  }
}

TEST_F(Live, LargeBatchesArePackedAndComeBack) {
  std::vector<int64_t> many(50'000);
  for (size_t i = 0; i < many.size(); i++) many[i] = int64_t(i);
  auto t = open();
  put(t.get(), many, 1, 7);
  ASSERT_TRUE(t->flush().ok());
  EXPECT_LT(info(*t).bytes, many.size() * 20);  // 50 bytes a row as they come
  auto before = contents(*t);
  t.reset();
  EXPECT_EQ(contents(*open()), before);
}

TEST_F(Live, FlushAndInfoTellWhatIsOnDisk) {
  auto t = open(kSchema, GYR_DURABILITY_ASYNC);
  EXPECT_EQ(info(*t).last_lsn, 0u);
  for (int64_t i = 0; i < 10; i++) put(t.get(), {i}, 1, i);
  ASSERT_TRUE(t->flush().ok());
  auto i = info(*t);
  EXPECT_EQ(i.last_lsn, 10u);
  EXPECT_EQ(i.durable_lsn, 10u);
  EXPECT_EQ(i.snapshot_lsn, 0u);
  EXPECT_EQ(i.segments, 1u);
  EXPECT_GT(i.bytes, 10u * 56);
  erase(t.get(), {77});  // nothing is deleted: nothing is logged
  EXPECT_EQ(info(*t).last_lsn, 10u);
  put(t.get(), {50}, 1, 1);  // without a flush: within the interval
  for (int wait = 0; wait < 10'000 && info(*t).durable_lsn < 11; wait++) usleep(1000);
  EXPECT_EQ(info(*t).durable_lsn, 11u);
}

TEST_F(Live, CheckpointsRemoveTheLogBeforeThem) {
  auto t = open(kSchema, GYR_DURABILITY_SYNC);
  for (int64_t i = 0; i < 200; i++) put(t.get(), {i % 10}, i, i);
  EXPECT_GT(logs().size(), 2u);  // segments of 8 KiB
  ASSERT_TRUE(t->checkpoint(nullptr).ok());
  EXPECT_EQ(logs().size(), 0u);
  EXPECT_EQ(info(*t).snapshot_lsn, 200u);
  EXPECT_EQ(info(*t).bytes, 0u);
  put(t.get(), {3}, 1000, 1000);
  auto before = contents(*t);
  t.reset();
  EXPECT_EQ(logs().size(), 1u);
  t = open(nullptr, GYR_DURABILITY_NONE);
  EXPECT_EQ(contents(*t), before);
  EXPECT_EQ(info(*t).last_lsn, 201u);
  ASSERT_TRUE(t->checkpoint(nullptr).ok());
  EXPECT_EQ(logs().size(), 0u);
  t.reset();
  EXPECT_EQ(contents(*open()), before);
}

TEST_F(Live, ASnapshotIsASavedTable) {
  auto t = open();
  put(t.get(), {1, 2, 3}, 1, 4);
  ASSERT_TRUE(t->checkpoint(nullptr).ok());
  auto file = Container::open(folder_ + "/snapshot.gyr", Container::Access::kRead);
  ASSERT_TRUE(file.ok());
  auto loaded = Table::load(runtime(), **file, "table");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(contents(**loaded), contents(*t));
}

// Rows of the research's failure table, section 9.
TEST_F(Live, SchemaChangeOnOpenAddsColumns) {
  auto t = open();
  for (int64_t i = 0; i < 5; i++) put(t.get(), {i}, 1, i);
  ASSERT_TRUE(t->checkpoint(nullptr).ok());
  put(t.get(), {5}, 1, 5);  // in the log only
  t.reset();
  constexpr const char* kMore = R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"new","dtype":"float32",
    "list":true},{"name":"s","dtype":"string"},{"name":"a","dtype":"int64"},{"name":"more","dtype":"int8"}]})";
  t = open(kMore);
  ASSERT_TRUE(t);
  auto now = contents(*t);
  EXPECT_EQ(now.size(), 6u);
  EXPECT_EQ(now["id=5 "], "ts=1 new=null s=text of 5 a=5 more=null ");
  Batch b = rows({5}, 2, 55);
  b.add("more", GYR_DTYPE_INT8, false).push_int(3);
  ASSERT_TRUE(t->upsert(b, nullptr).ok());
  now = contents(*t);
  t.reset();
  t = open(nullptr);  // the folder has the new schema
  EXPECT_EQ(contents(*t), now);
  EXPECT_EQ(t->columns().size(), 4u);
  EXPECT_EQ(now["id=5 "], "ts=2 new=null s=text of 55 a=55 more=3 ");
}

TEST_F(Live, SchemaChangeOnOpenIsRefusedWhereRowsWouldNotFit) {
  open().reset();
  auto refused = [&](const char* schema, std::vector<const char*> words) {
    auto t = try_open(schema);
    ASSERT_FALSE(t.ok());
    EXPECT_EQ(t.status().code(), GYR_E_INVALID_ARGUMENT);
    for (const char* word : words)
      EXPECT_NE(std::string(t.status().message()).find(word), std::string::npos) << t.status().message();
  };
  refused(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"a","dtype":"float64"},
             {"name":"s","dtype":"string"}]})",
          {"\"a\"", "int64", "float64"});
  refused(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"a","dtype":"int64","list":true},
             {"name":"s","dtype":"string"}]})",
          {"\"a\"", "is int64", "list of int64"});
  refused(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"a","dtype":"int64"}]})",
          {"\"s\" (string)", "dropped"});
  refused(R"({"name":"t","key":"id","key_dtype":"string","event_time":"ts","columns":[{"name":"a","dtype":"int64"},
             {"name":"s","dtype":"string"}]})",
          {"key_dtype", "int64", "string"});
  refused(R"({"name":"t","key":"id","columns":[{"name":"a","dtype":"int64"},{"name":"s","dtype":"string"}]})",
          {"event_time", "\"ts\"", "absent"});
  refused("{", {});
  EXPECT_TRUE(open(nullptr));  // and the folder is as it was
}

TEST_F(Live, ASecondOpenerIsToldThatTheFolderIsInUse) {
  auto t = open();
  auto second = try_open();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), GYR_E_BUSY);
  EXPECT_NE(std::string(second.status().message()).find(folder_), std::string::npos) << second.status().message();
  pid_t child = fork();
  if (child == 0) _exit(try_open().status().code() == GYR_E_BUSY ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  put(t.get(), {1}, 1, 1);
  t.reset();
  EXPECT_EQ(contents(*open()).size(), 1u);
}

TEST_F(Live, AForkedChildLeavesTheTableAlone) {
  auto t = open(kSchema, GYR_DURABILITY_ASYNC);
  for (int64_t i = 0; i < 100; i++) put(t.get(), {i}, 1, i);
  pid_t child = fork();
  if (child == 0) {
    t.reset();  // neither waits for the thread nor writes what is queued
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (int64_t i = 0; i < 100; i++) put(t.get(), {i}, 2, -i);
  EXPECT_EQ(try_open().status().code(), GYR_E_BUSY);  // the child did not unlock it
  auto before = contents(*t);
  t.reset();
  EXPECT_EQ(contents(*open()), before);
}

// The child has the lock's descriptor, too.
TEST_F(Live, AForkedChildThatLivesOnDoesNotKeepTheFolder) {
  auto t = open();
  put(t.get(), {1}, 1, 1);
  int wait[2];
  ASSERT_EQ(pipe(wait), 0);
  pid_t child = fork();
  if (child == 0) {
    char c;
    ::close(wait[1]);
    _exit(read(wait[0], &c, 1) == 0 ? 0 : 1);
  }
  t.reset();
  t = open();
  ASSERT_TRUE(t);
  EXPECT_EQ(t->rows(), 1u);
  ::close(wait[0]);
  ::close(wait[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Live, WhatIsNotThereIsSaid) {
  EXPECT_EQ(try_open(nullptr).status().code(), GYR_E_NOT_FOUND);
  EXPECT_FALSE(fs::exists(folder_));
  auto deep = Table::open_live(runtime(), folder_ + "/a/b", kSchema, options(GYR_DURABILITY_SYNC), nullptr);
  EXPECT_EQ(deep.status().code(), GYR_E_IO);
  fs::create_directory(folder_);
  EXPECT_EQ(try_open(nullptr).status().code(), GYR_E_NOT_FOUND);
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_TRUE(open());
  fs::remove(folder_ + "/snapshot.gyr");
  spill(folder_ + "/" + segment_name(1), "x");
  auto t = try_open();
  EXPECT_EQ(t.status().code(), GYR_E_CORRUPT) << t.status().message();
  auto plain = Table::create(runtime(), kSchema);
  EXPECT_EQ((*plain)->flush().code(), GYR_E_INVALID_STATE);
  EXPECT_EQ((*plain)->checkpoint(nullptr).code(), GYR_E_INVALID_STATE);
}

// Readers, and a recovery, must agree which of two changes with one event time came last.
TEST_F(Live, ConcurrentChangesOfOneKeyComeBackInTheOrderThatReadersSaw) {
  for (int round = 0; round < 6; round++) {
    auto t = open(kSchema, round % 2 ? GYR_DURABILITY_SYNC : GYR_DURABILITY_ASYNC);
    std::vector<std::thread> writers;
    for (int w = 0; w < 4; w++)
      writers.emplace_back([&, w] {
        Random random{uint64_t(w)};
        for (int64_t i = 0; i < (round % 2 ? 60 : 1500); i++) {
          int64_t key = int64_t(random.below(3));
          if (random.below(4) == 0)
            erase(t.get(), {key, key + 1});
          else
            put(t.get(), {key, key + 1}, 1, w * 1'000'000 + i, random.below(2));
          if (w == 0 && random.below(200) == 0) {
            EXPECT_TRUE(t->checkpoint(nullptr).ok());
          }
        }
      });
    for (auto& w : writers) w.join();
    auto before = contents(*t);
    t.reset();
    EXPECT_EQ(contents(*open()), before) << round;
  }
}

// A table with a history and a view: everything it holds, the versions' created times included, is in what it saves.
class LiveHistory : public Live {
 protected:
  static constexpr const char* kPast = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":400,
    "history":{"versions":4,"seconds":1000},"columns":[{"name":"a","dtype":"int64"},{"name":"b","dtype":"int64"},
    {"name":"v","dtype":"float32"}],"views":[{"name":"w","event_time":"wts","ttl_seconds":50,"columns":["v"]}]})";
  static constexpr int64_t kKeys = 30;

  static std::string saved(const Table& table) {
    ContainerWriter file;
    EXPECT_TRUE(table.save(&file, "table").ok());
    auto bytes = file.serialize();
    return {bytes->begin(), bytes->end()};
  }
  // Partial, late and early rows, rows of the view alone, deletions.
  static void change(Table* t, Random* random) {
    int64_t id = int64_t(random->below(kKeys)), time = int64_t(random->below(30)) * 20'000'000;
    uint64_t pick = random->below(10);
    if (pick == 0) return erase(t, {id});
    Batch b;
    b.rows = 1;
    b.add("id", GYR_DTYPE_INT64, false).push_int(id);
    if (pick < 8) {
      b.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(time);
      b.add(pick % 2 ? "a" : "b", GYR_DTYPE_INT64, false).push_int(int64_t(random->below(1000)));
    }
    if (pick > 6) {
      b.add("wts", GYR_DTYPE_TIMESTAMP, false).push_int(time + 1);
      b.add("v", GYR_DTYPE_FLOAT32, false).push_float(double(random->below(100)));
    }
    Status s = t->upsert(b, nullptr);
    EXPECT_TRUE(s.ok()) << s.message();
  }
};

TEST_F(LiveHistory, ComesBackWithItsClock) {
  Random random{7};
  auto t = open(kPast, GYR_DURABILITY_ASYNC);
  for (int round = 0; round < 8; round++) {
    for (int i = 0; i < 200; i++) change(t.get(), &random);
    if (round % 3 == 1) {
      ASSERT_TRUE(t->checkpoint(nullptr).ok());
    }
    if (round % 3 == 2) {
      uint64_t removed = 0, all = 0;
      for (uint64_t cursor = 0; cursor != UINT64_MAX; all += removed)
        ASSERT_TRUE(t->sweep(1'500'000'000, 5, &cursor, &removed).ok());
      EXPECT_GT(all, 0u);
    }
    std::string before = saved(*t);
    EXPECT_GT(t->versions(), 0u);
    t = nullptr;
    t = open(nullptr, GYR_DURABILITY_ASYNC);
    ASSERT_TRUE(t);
    EXPECT_TRUE(saved(*t) == before) << round;
  }
}

TEST_F(LiveHistory, ChangesDuringACheckpointComeBackAsTheyWere) {
  for (uint64_t round = 0; round < 25 && !HasFailure(); round++) {
    auto t = open(kPast, GYR_DURABILITY_ASYNC);
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      Random random{round};
      while (!stop) change(t.get(), &random);
    });
    for (int i = 0; i < 5; i++) EXPECT_TRUE(t->checkpoint(nullptr).ok());
    stop = true;
    writer.join();
    std::string before = saved(*t);
    t.reset();
    t = open(nullptr);
    ASSERT_TRUE(t);
    EXPECT_TRUE(saved(*t) == before) << round;
    t.reset();
    fs::remove_all(folder_);
  }
}

TEST_F(LiveHistory, ViewsMayGetMoreColumns) {
  Random random{9};
  auto t = open(kPast);
  for (int i = 0; i < 300; i++) change(t.get(), &random);
  uint64_t rows = t->rows(), versions = t->versions();
  t.reset();
  constexpr const char* kMore = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":400,
    "history":{"versions":4,"seconds":1000},"columns":[{"name":"u","dtype":"string"},{"name":"a","dtype":"int64"},
    {"name":"b","dtype":"int64"},{"name":"v","dtype":"float32"}],"memory_budget":100000000,
    "views":[{"name":"w","event_time":"wts","ttl_seconds":50,"columns":["v","u"]}]})";
  t = open(kMore);
  ASSERT_TRUE(t);
  EXPECT_EQ(t->rows(), rows);
  EXPECT_EQ(t->versions(), versions);
  std::string before = saved(*t);
  t.reset();
  t = open(nullptr);
  EXPECT_TRUE(saved(*t) == before);
  t.reset();
  constexpr const char* kMoved = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":400,
    "history":{"versions":4,"seconds":1000},"columns":[{"name":"u","dtype":"string"},{"name":"a","dtype":"int64"},
    {"name":"b","dtype":"int64"},{"name":"v","dtype":"float32"}],
    "views":[{"name":"w","event_time":"wts","ttl_seconds":50,"columns":["u"]}]})";
  auto moved = try_open(kMoved);
  ASSERT_FALSE(moved.ok());
  EXPECT_NE(std::string(moved.status().message()).find("another view"), std::string::npos);
}

// An upsert that fails on its way has put its first rows in: so has the log.
TEST_F(Live, WhatAFailedBatchLeftComesBack) {
  open(R"({"name":"t","key":"id","event_time":"ts","columns":[{"name":"a","dtype":"int64"},
          {"name":"s","dtype":"string"},{"name":"big","dtype":"string"}]})")
      .reset();
  auto opened = try_open(nullptr, GYR_DURABILITY_ASYNC, 8 << 20);
  ASSERT_TRUE(opened.ok());
  auto t = *opened;
  Batch b = rows({1, 2, 3, 4, 5, 6}, 1, 1);
  Column& big = b.add("big", GYR_DTYPE_STRING, false);
  for (int i = 0; i < 6; i++) big.push_string(std::string(3 << 20, 'x'));
  Table::UpsertStats stats;
  EXPECT_THROW((void)t->upsert(b, &stats), BudgetExceeded);
  EXPECT_GE(stats.rows, 1u);
  EXPECT_LT(stats.rows, 6u);
  auto before = contents(*t);
  EXPECT_EQ(before.size(), stats.rows);
  erase(t.get(), {1});
  put(t.get(), {7}, 2, 2);
  before = contents(*t);
  EXPECT_EQ(before.size(), stats.rows);
  opened = Status(fail(GYR_E_IO, "test", "closed"));
  t.reset();
  EXPECT_EQ(contents(*open(nullptr)), before);
}

// Filled to the brim, with rows of all sizes coming and going: what had room once is there when it is opened again.
TEST_F(Live, AFullBudgetDoesNotKeepATableFromOpening) {
  for (std::string history : {"", R"(,"history":{"versions":8})"}) {
    SCOPED_TRACE(history);
    const std::string schema = R"({"name":"t","key":"id","event_time":"ts","memory_budget":1500000,"columns":[
      {"name":"a","dtype":"int64"},{"name":"s","dtype":"string"}])" +
                               history + "}";
    Random random{5};
    auto t = open(schema.c_str());
    auto write = [&](int64_t time) {
      Batch b = rows({int64_t(random.below(1500))}, time, 1, false);
      b.add("s", GYR_DTYPE_STRING, false).push_string(std::string(random.below(1500), 'x'));
      return t->upsert(b, nullptr);
    };
    int64_t time = 1;
    for (int round = 0; round < 3; round++) {
      for (int refused = 0; refused < 100; time++) {
        if (random.below(10) == 0) {
          erase(t.get(), {int64_t(random.below(1500))});
          continue;
        }
        Status s = write(time);
        ASSERT_TRUE(s.ok() || s.code() == GYR_E_RESOURCE_EXHAUSTED) << s.message();
        refused += !s.ok();
      }
      if (round == 1) {
        ASSERT_TRUE(t->checkpoint(nullptr).ok());
      }
      auto before = contents(*t);
      uint64_t versions = t->versions(), bytes = t->bytes();
      t.reset();
      t = open(nullptr);
      ASSERT_TRUE(t) << round;
      EXPECT_EQ(contents(*t), before);
      EXPECT_EQ(t->versions(), versions);
      EXPECT_LT(t->bytes(), bytes + bytes / 2);
    }
    Status s;
    for (int64_t id = 0; id < 2000 && s.ok(); id++) {
      Batch b = rows({10'000 + id}, 1, 1, false);
      b.add("s", GYR_DTYPE_STRING, false).push_string(std::string(1000, 'x'));
      s = t->upsert(b, nullptr);
    }
    EXPECT_EQ(s.code(), GYR_E_RESOURCE_EXHAUSTED) << "the budget holds again";
    t.reset();
    fs::remove_all(folder_);
  }
}

TEST_F(Live, WhatAFailedBatchLeftIsSafeWithSync) {
  for (bool by_runtime : {false, true}) {
    constexpr const char* kBig = R"({"name":"t","key":"id","event_time":"ts","columns":[
      {"name":"a","dtype":"int64"},{"name":"big","dtype":"string"}],"memory_budget":)";
    LiveOptions o = options(GYR_DURABILITY_SYNC);
    o.flush_ns = 3'600'000'000'000;
    auto t = *Table::open_live(runtime(by_runtime ? 8 << 20 : 0), folder_,
                               (kBig + std::string(by_runtime ? "0}" : "8000000}")).c_str(), o, nullptr);
    Batch b = rows({1, 2, 3, 4, 5, 6}, 1, 1, false);
    Column& big = b.add("big", GYR_DTYPE_STRING, false);
    for (int i = 0; i < 6; i++) big.push_string(std::string(3 << 20, 'x'));
    bool failed = false;
    try {
      failed = t->upsert(b, nullptr).code() == GYR_E_RESOURCE_EXHAUSTED;
    } catch (const BudgetExceeded&) {
      failed = true;
    }
    EXPECT_TRUE(failed);
    EXPECT_GT(t->rows(), 0u);
    EXPECT_EQ(info(*t).last_lsn, 1u);
    EXPECT_EQ(info(*t).durable_lsn, 1u);
    t.reset();
    fs::remove_all(folder_);
  }
}

TEST_F(Live, SaysWhenAFolderTakesNoFiles) {
  folder_ = "/proc";
  auto t = try_open();
  folder_ = ::testing::TempDir() + "gyr-nothing";
  ASSERT_FALSE(t.ok());
  EXPECT_EQ(t.status().code(), GYR_E_IO);
  EXPECT_NE(std::string(t.status().message()).find("takes no files"), std::string::npos) << t.status().message();
}

TEST_F(Live, APartialBatchIsRefusedWhole) {
  auto t = open();
  Batch b = rows({1, 2}, 1, 1);
  b.add("nobody", GYR_DTYPE_INT64, false).ints = {1, 2};
  EXPECT_EQ(t->upsert(b, nullptr).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(info(*t).last_lsn, 0u);
  EXPECT_EQ(t->rows(), 0u);
  put(t.get(), {1}, 1, 1);
  EXPECT_EQ(info(*t).last_lsn, 1u);
}

TEST_F(Live, ASmallQueueOnlyMakesWritersWait) {
  auto t = *Table::open_live(
      runtime(), folder_, kSchema,
      {.durability = GYR_DURABILITY_ASYNC, .flush_ns = 1'000'000, .segment_bytes = 1 << 20, .queue_bytes = 4096},
      nullptr);
  std::vector<std::thread> writers;
  for (int w = 0; w < 3; w++)
    writers.emplace_back([&, w] {
      for (int64_t i = 0; i < 500; i++) put(t.get(), {i, i + 1, i + 2, i + w * 1000}, 1, i);
    });
  for (auto& w : writers) w.join();
  auto before = contents(*t);
  t.reset();
  EXPECT_EQ(contents(*open()), before);
}

// Every byte of the log, changed: all rows, or CORRUPT. Never others, never an end of the process.
class LiveDamage : public Live {
 protected:
  // The contents after each change; the log of the folder has them all.
  std::vector<std::map<std::string, std::string>> fill(int changes) {
    std::vector<std::map<std::string, std::string>> states;
    auto t = open(kSchema, GYR_DURABILITY_SYNC);
    states.push_back(contents(*t));
    for (int64_t i = 0; i < changes; i++) {
      if (i % 4 == 3)
        erase(t.get(), {i - 1});
      else
        put(t.get(), {i, 1000}, i, i);
      states.push_back(contents(*t));
    }
    return states;
  }
};

TEST_F(LiveDamage, EveryChangedByteOfTheLogIsFoundOut) {
  auto states = fill(12);
  auto names = logs();
  ASSERT_EQ(names.size(), 1u);
  std::string whole = slurp(names[0]);
  int corrupt = 0, harmless = 0;
  for (size_t at = 0; at < whole.size(); at += 3) {
    std::string bytes = whole;
    bytes[at] = char(bytes[at] ^ 0x41);
    spill(names[0], bytes);
    auto t = try_open(nullptr);
    if (!t.ok()) {
      bool refused = t.status().code() == GYR_E_CORRUPT || t.status().code() == GYR_E_FORMAT_TOO_NEW;
      ASSERT_TRUE(refused) << at << ": " << t.status().message();
      corrupt++;
      continue;
    }
    ASSERT_GE(at, whole.size() - sizeof(RecordHeader)) << "only the mark at the end may go, as nothing is lost with it";
    ASSERT_EQ(contents(**t), states.back()) << at;
    harmless++;
  }
  EXPECT_GT(corrupt, 100);
  EXPECT_GT(harmless, 10);
}

// The bytes of all files of a folder, by name.
std::map<std::string, std::string> files_of(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (auto& e : fs::directory_iterator(folder)) out[e.path().filename()] = slurp(e.path());
  return out;
}

// One group, flushed, and nothing written after it: the table's end says so, or an idle moment, or opening it.
TEST_F(LiveDamage, WhatWasFlushedIsNeverLeftOutInSilence) {
  auto refused = [&](const char* when) {
    auto names = logs();
    ASSERT_EQ(names.size(), 1u) << when;
    std::string whole = slurp(names[0]), bytes = whole;
    bytes[kSegmentHeader + 30] ^= 1;
    spill(names[0], bytes);
    auto before = files_of(folder_);
    auto t = try_open(nullptr);
    ASSERT_FALSE(t.ok()) << when << (*t)->rows();
    EXPECT_EQ(t.status().code(), GYR_E_CORRUPT) << when;
    for (const char* part : {names[0].c_str(), "change 1, at byte 64,", "up to 5"})
      EXPECT_NE(std::string(t.status().message()).find(part), std::string::npos) << when << t.status().message();
    EXPECT_EQ(files_of(folder_), before) << when;
    spill(names[0], whole);
  };
  auto slow = options(GYR_DURABILITY_ASYNC);
  slow.flush_ns = 60'000'000'000;
  auto t = *Table::open_live(runtime(), folder_, kSchema, slow, nullptr);
  for (int64_t i = 1; i <= 5; i++) put(t.get(), {i}, 1, i);
  ASSERT_TRUE(t->flush().ok());
  auto after_group = files_of(folder_);
  std::string aside = folder_ + "-aside", folder = folder_;
  auto marked = [&] {
    auto log = slurp(logs()[0]);
    return log.find_last_not_of('\0') > after_group[segment_name(1)].find_last_not_of('\0');
  };
  for (int i = 0; i < 500 && !marked(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(marked());
  fs::copy(folder_, aside);  // as if the process had been killed now
  folder_ = aside;
  refused("idle");
  spill(logs()[0], after_group[segment_name(1)]);  // and before it was idle
  EXPECT_EQ(open(nullptr)->rows(), 5u);
  refused("opened");
  fs::remove_all(aside);
  folder_ = folder;
  t.reset();
  refused("closed");
  EXPECT_EQ(open(nullptr)->rows(), 5u);
}

TEST_F(LiveDamage, EveryCutOfTheLogIsAStateOfThePast) {
  auto states = fill(12);
  auto names = logs();
  std::string whole = slurp(names[0]);
  for (size_t size = 0; size < whole.size(); size += 5) {
    spill(names[0], whole.substr(0, size));
    auto t = try_open(nullptr);
    ASSERT_TRUE(t.ok()) << size << ": " << t.status().message();
    ASSERT_TRUE(std::find(states.begin(), states.end(), contents(**t)) != states.end()) << size;
    // What follows is kept, too.
    put(t->get(), {77}, 77, int64_t(size));
    auto now = contents(**t);
    t = Status(fail(GYR_E_IO, "test", "closed"));
    t = try_open(nullptr);
    ASSERT_TRUE(t.ok()) << size << ": " << t.status().message();
    ASSERT_EQ(contents(**t), now);
    t = Status(fail(GYR_E_IO, "test", "closed"));
    for (auto& name : logs()) fs::remove(name);
  }
}

// A process that was killed leaves the whole of what it had reserved.
TEST_F(LiveDamage, OpeningReadsWhatWasWrittenOnly) {
  auto states = fill(12);
  auto name = logs()[0];
  constexpr uint64_t kReserved = uint64_t(1) << 30;
  fs::resize_file(name, kReserved);
  auto peak = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  auto before = peak();
  EXPECT_EQ(contents(*open(nullptr)), states.back());
  EXPECT_LT(peak() - before, 64 << 10) << "KiB";
  EXPECT_LT(fs::file_size(name), 100'000u);
  // Damage is found behind a long gap, too.
  std::string bytes = slurp(name).substr(0, 2000);
  spill(name, bytes.substr(0, 300));
  fs::resize_file(name, kReserved);
  std::fstream(name, std::ios::in | std::ios::out | std::ios::binary).seekp(kReserved - 4096).write(bytes.data(), 2000);
  auto t = try_open(nullptr);
  ASSERT_FALSE(t.ok());
  EXPECT_EQ(t.status().code(), GYR_E_CORRUPT);
}

TEST_F(LiveDamage, AMissingOrForeignSegmentIsCorrupt) {
  fill(300);
  auto names = logs();
  ASSERT_GT(names.size(), 2u);
  auto refused = [&](const char* word) {
    auto t = try_open(nullptr);
    ASSERT_FALSE(t.ok());
    EXPECT_EQ(t.status().code(), GYR_E_CORRUPT) << t.status().message();
    EXPECT_NE(std::string(t.status().message()).find(word), std::string::npos) << t.status().message();
  };
  for (size_t i : {size_t(0), size_t(1)}) {
    fs::rename(names[i], folder_ + "/aside");
    refused("missing");
    fs::rename(folder_ + "/aside", names[i]);
  }
  std::string second = slurp(names[1]);
  spill(names[1], slurp(names[0]));
  refused("its name says");
  spill(names[1], second.substr(0, second.size() / 2));
  refused("");
  spill(names[1], second + std::string(64, '\0'));  // a cut that was lost
  EXPECT_TRUE(open(nullptr));
  std::string snapshot = slurp(folder_ + "/snapshot.gyr");
  fs::remove_all(folder_);
  fill(20);
  std::string log = slurp(logs()[0]);
  fs::remove_all(folder_);
  fill(20);
  spill(logs()[0], log);
  refused("another table's");
}

}  // namespace
}  // namespace gyr
