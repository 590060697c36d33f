// Random sequences on a table in a folder, opened again at any moment, against a std::map. GYR_SEQUENCES: how many.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "base/random.h"
#include "table/table.h"

namespace gyr {
namespace {

constexpr const char* kSchema = R"({"name":"t","key":"id","key_dtype":"string","event_time":"ts","ttl_seconds":100,
  "columns":[{"name":"a","dtype":"int32"},{"name":"l","dtype":"string","list":true}]})";
constexpr int64_t kTtl = 100'000'000;

struct Row {
  int64_t time = 0;
  std::optional<int64_t> a, l;
  bool operator==(const Row&) const = default;
};
using Model = std::map<std::string, Row>;

class Sequence {
 public:
  Sequence(std::string folder, uint64_t seed) : folder_(std::move(folder)), random_{seed} {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    runtime_ = *Runtime::create(o);
    reopen();
  }
  void run() {
    int steps = int(20 + random_.below(200));
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); i++) {
      uint64_t pick = random_.below(100);
      if (pick < 60) upsert();
      if (pick >= 60 && pick < 80) remove();
      if (pick >= 80 && pick < 86) expect_ok(table_->checkpoint(nullptr));
      if (pick >= 86 && pick < 90 && durability_ != GYR_DURABILITY_NONE) expect_ok(table_->flush());
      if (pick >= 90) reopen();
      if (pick >= 90 || pick < 5) check();
    }
    reopen();
    check();
  }

 private:
  static void expect_ok(const Status& s) { EXPECT_TRUE(s.ok()) << s.message(); }
  void reopen() {
    // Without a log, only what a checkpoint has is there afterwards.
    if (table_ && durability_ == GYR_DURABILITY_NONE) expect_ok(table_->checkpoint(nullptr));
    table_.reset();
    durability_ = gyr_durability(random_.below(3));
    LiveOptions o{durability_, int64_t(1 + random_.below(5)) * 1'000'000, random_.below(2) ? 4096u : 1u << 20, 1 << 16};
    auto opened = Table::open_live(runtime_, folder_, kSchema, o, nullptr);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    table_ = *opened;
  }
  std::string key() { return std::string(size_t(random_.below(12)), 'k'); }

  void upsert() {
    Batch b;
    b.rows = int64_t(1 + random_.below(4));
    bool has_a = random_.below(2), has_l = random_.below(2);
    std::vector<std::string> keys;
    std::vector<Row> given;
    for (int64_t i = 0; i < b.rows; i++) {
      keys.push_back(key());
      Row r{int64_t(random_.below(400)) * 1'000'000, std::nullopt, std::nullopt};
      if (random_.below(5)) r.a = int64_t(random_.below(1000));
      if (random_.below(5)) r.l = int64_t(random_.below(6));
      given.push_back(r);
    }
    b.add("id", GYR_DTYPE_STRING, false);
    for (auto& k : keys) b.columns[0].push_string(k);
    b.add("ts", GYR_DTYPE_TIMESTAMP, false);
    for (auto& r : given) b.columns.back().push_int(r.time);
    if (has_a) {
      Column& a = b.add("a", GYR_DTYPE_INT64, false);
      for (auto& r : given) r.a ? a.push_int(*r.a) : a.push_null_row();
    }
    if (has_l) {
      Column& l = b.add("l", GYR_DTYPE_STRING, true);
      for (auto& r : given) {
        if (!r.l) {
          l.push_null_row();
          continue;
        }
        for (int64_t k = 0; k < *r.l; k++) l.push_string("word " + std::to_string(k));
        l.end_list();
      }
    }
    Status s = table_->upsert(b, nullptr);
    ASSERT_TRUE(s.ok()) << s.message();
    for (size_t i = 0; i < keys.size(); i++) {
      auto it = model_.find(keys[i]);
      if (it != model_.end() && it->second.time > given[i].time) continue;
      Row row;
      if (it != model_.end() && it->second.time + kTtl >= given[i].time) row = it->second;
      row.time = given[i].time;
      if (has_a) row.a = given[i].a;
      if (has_l) row.l = given[i].l;
      model_[keys[i]] = row;
    }
  }
  void remove() {
    std::vector<std::string> keys{key(), key()};
    std::vector<gyr_str> views{{keys[0].data(), keys[0].size()}, {keys[1].data(), keys[1].size()}};
    uint64_t removed = 9;
    ASSERT_TRUE(table_->remove({GYR_DTYPE_STRING, nullptr, views.data(), 2}, &removed).ok());
    EXPECT_EQ(removed, model_.erase(keys[0]) + model_.erase(keys[1]));
  }
  void check() {
    Model found;
    Batch b;
    for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
      ASSERT_TRUE(table_->scan(&cursor, 5, &b).ok());
      for (int64_t i = 0; i < b.rows; i++) {
        Row r{b.columns[1].ints[size_t(i)], std::nullopt, std::nullopt};
        if (!b.columns[2].row_is_null(i)) r.a = b.columns[2].ints[size_t(i)];
        if (!b.columns[3].row_is_null(i))
          r.l = b.columns[3].list_offsets[size_t(i) + 1] - b.columns[3].list_offsets[size_t(i)];
        found[std::string(b.columns[0].string(i))] = r;
      }
    }
    EXPECT_TRUE(found == model_);
  }

  const std::string folder_;
  Random random_;
  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<Table> table_;
  gyr_durability durability_ = 0;
  Model model_;
};

TEST(LiveSequences, FollowTheModelThroughReopening) {
  const char* text = std::getenv("GYR_SEQUENCES");
  uint64_t sequences = text ? std::strtoull(text, nullptr, 10) : 60;
  std::string folder = std::filesystem::exists("/dev/shm") ? "/dev/shm/gyr-seq-XXXXXX" : "/tmp/gyr-seq-XXXXXX";
  ASSERT_TRUE(mkdtemp(folder.data()));
  for (uint64_t seed = 0; seed < sequences && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sequence(folder + "/t" + std::to_string(seed), seed).run();
    std::filesystem::remove_all(folder + "/t" + std::to_string(seed));
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gyr
