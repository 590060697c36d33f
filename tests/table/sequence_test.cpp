// Random sequences of operations on a plain table against a std::map that knows the rules.
#include <map>
#include <optional>

#include "tests/table/sequences.h"

namespace gyr {
namespace {

constexpr int64_t kTtl = 100 * kSecond;

struct ModelRow {
  int64_t time = 0;
  std::optional<int64_t> a, s, l;  // what the three columns were made of
};

class World {
 public:
  explicit World(bool strings) : strings_(strings) {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    runtime_ = *Runtime::create(o);
    std::string schema = R"({"name":"t","key":"id","key_dtype":")" + std::string(strings ? "string" : "int64") +
                         R"(","event_time":"ts","ttl_seconds":100,"columns":[{"name":"a","dtype":"int32"},
                            {"name":"s","dtype":"string"},{"name":"l","dtype":"float32","list":true}]})";
    table_ = *Table::create(runtime_, schema);
  }

  // What is wrong after the operation; empty = nothing.
  std::string run(const Op& op) {
    switch (op.kind) {
      case Op::kUpsert:
        return upsert(op);
      case Op::kDelete: {
        uint64_t removed = 9;
        if (!with_keys(strings_, {op.key}, [&](const Keys& k) { return table_->remove(k, &removed); }).ok())
          return "delete fails";
        return removed == model_.erase(op.key) ? "" : "delete counts " + std::to_string(removed);
      }
      case Op::kGet:
        return check(op.key);
      case Op::kScan:
        return scan();
      case Op::kReopen: {
        ContainerWriter writer;
        if (!table_->save(&writer, "t").ok()) return "save fails";
        auto file = Container::parse(*writer.serialize());
        auto loaded = Table::load(runtime_, **file, "t");
        if (!loaded.ok()) return loaded.status().message();
        table_ = *loaded;
        return scan();
      }
      case Op::kTick:
        now_ += op.time;
        return "";
      case Op::kSweep: {
        auto expired = [&](const auto& row) { return row.second.time + kTtl < now_; };
        return sweep_all(table_.get(), now_) == int64_t(std::erase_if(model_, expired)) ? "" : "sweep counts wrongly";
      }
      case Op::kAsOf:  // keeps no history
        return "";
    }
    return "";
  }
  std::string check_all(int64_t keys) {
    for (int64_t key = 0; key < keys; key++)
      if (std::string wrong = check(key); !wrong.empty()) return wrong;
    return scan();
  }

 private:
  std::string upsert(const Op& op) {
    int64_t t = now_ + op.time;
    Batch batch;
    batch.rows = 1;
    push_key(strings_, op.key, &batch.add("id", strings_ ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, false));
    batch.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(t);
    auto has = [&](int c) { return op.columns >> c & 1; };
    auto null = [&](int c) { return op.columns >> (3 + c) & 1; };
    if (has(0)) {
      Column& a = batch.add("a", GYR_DTYPE_INT64, false);
      null(0) ? a.push_null_row() : a.push_int(op.value);
    }
    if (has(1)) {
      Column& s = batch.add("s", GYR_DTYPE_STRING, false);
      null(1) ? s.push_null_row() : s.push_string(text_of(op.value));
    }
    if (has(2)) {
      Column& l = batch.add("l", GYR_DTYPE_FLOAT64, true);
      if (null(2)) {
        l.push_null_row();
      } else {
        for (double v : list_of(op.value)) l.push_float(v);
        l.end_list();
      }
    }
    Table::UpsertStats stats;
    if (Status s = table_->upsert(batch, &stats); !s.ok()) return s.message();
    auto it = model_.find(op.key);
    bool stale = it != model_.end() && it->second.time > t;
    if (stats.applied != !stale || stats.stale != stale) return "the upsert's statistics are wrong";
    if (stale) return "";
    ModelRow row;  // what had expired by then does not come back
    if (it != model_.end() && it->second.time + kTtl >= t) row = it->second;
    row.time = t;
    auto set = [&](int c, std::optional<int64_t>* to) {
      if (has(c)) *to = null(c) ? std::nullopt : std::optional<int64_t>(op.value);
    };
    set(0, &row.a), set(1, &row.s), set(2, &row.l);
    model_[op.key] = row;
    return "";
  }

  std::string check(int64_t key) {
    Batch out;
    std::vector<uint8_t> status;
    // Keys around it, so that a batch has several groups' worth of neighbours.
    std::vector<int64_t> ids{key, key + 1, key};
    Status read = with_keys(strings_, ids, [&](const Keys& k) {
      return table_->get(k, now_, {0, 1, 2}, &out, &status);
    });
    if (!read.ok()) return read.message();
    for (size_t i = 0; i < ids.size(); i++) {
      auto it = model_.find(ids[i]);
      uint8_t row = GYR_VALUE_PRESENT;
      if (it == model_.end() || it->second.time > now_)
        row = GYR_VALUE_MISSING;
      else if (it->second.time + kTtl < now_)
        row = GYR_VALUE_EXPIRED;
      auto state = [&](const std::optional<int64_t>& v) {
        return row != GYR_VALUE_PRESENT ? row : uint8_t(v ? GYR_VALUE_PRESENT : GYR_VALUE_NULL);
      };
      ModelRow want = it == model_.end() ? ModelRow{} : it->second;
      std::string of = " of key " + std::to_string(ids[i]);
      if (status[i] != state(want.a)) return "status of a" + of;
      if (status[3 + i] != state(want.s)) return "status of s" + of;
      if (status[6 + i] != state(want.l)) return "status of l" + of;
      if (row != GYR_VALUE_PRESENT) continue;
      if (std::string wrong = compare(out, 0, int64_t(i), want); !wrong.empty()) return wrong + of;
    }
    return "";
  }

  static std::string compare(const Batch& out, size_t first, int64_t i, const ModelRow& want) {
    const Column &a = out.columns[first], &s = out.columns[first + 1], &l = out.columns[first + 2];
    if (a.row_is_null(i) == want.a.has_value() || (want.a && a.ints[size_t(i)] != *want.a)) return "a";
    if (s.row_is_null(i) == want.s.has_value() || (want.s && s.string(i) != text_of(*want.s))) return "s";
    if (l.row_is_null(i) == want.l.has_value()) return "l's null";
    if (!want.l) return "";
    std::vector<double> list(l.floats.begin() + l.list_offsets[size_t(i)],
                             l.floats.begin() + l.list_offsets[size_t(i) + 1]);
    return list == list_of(*want.l) ? "" : "l";
  }

  std::string scan() {
    Batch out;
    std::map<int64_t, int> seen;
    for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
      if (!table_->scan(&cursor, 3, &out).ok()) return "scan fails";
      for (int64_t i = 0; i < out.rows; i++) {
        int64_t key = strings_ ? int64_t(out.columns[0].string(i).size()) : out.columns[0].ints[size_t(i)];
        auto it = model_.find(key);
        if (it == model_.end() || seen[key]++) return "scan meets key " + std::to_string(key);
        if (out.columns[1].ints[size_t(i)] != it->second.time) return "scan reads another time";
        if (std::string wrong = compare(out, 2, i, it->second); !wrong.empty()) return "scan reads another " + wrong;
      }
    }
    if (table_->rows() != model_.size()) return "rows() is " + std::to_string(table_->rows());
    return seen.size() == model_.size() ? "" : "scan misses a row";
  }

  const bool strings_;
  int64_t now_ = 1000 * kSecond;
  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<Table> table_;
  std::map<int64_t, ModelRow> model_;
};

class TableSequences : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Keys, TableSequences, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "strings" : "ints"; });

TEST_P(TableSequences, FollowTheModel) {
  follow_the_model([&](const std::vector<Op>& ops) { return run_in(World(GetParam()), ops); });
}

}  // namespace
}  // namespace gyr
