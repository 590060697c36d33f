// Random sequences of operations against a std::map that knows the rules, with the clock in the test's hand. A sequence
// that fails is shrunk to the shortest one that still does, and printed. GYR_SEQUENCES: how many per kind of key.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <sstream>

#include "base/random.h"
#include "table/table.h"

namespace gyr {
namespace {

constexpr int64_t kSecond = 1'000'000, kTtl = 100 * kSecond;

struct Op {
  enum Kind { kUpsert, kDelete, kGet, kScan, kReopen, kTick } kind;
  int64_t key, time, value;
  int columns;  // bits: which of a, s, l an upsert brings; 3 more: which of them are null

  std::string text() const {
    static const char* const names[] = {"upsert", "delete", "get", "scan", "reopen", "tick"};
    std::ostringstream out;
    out << names[kind] << " key " << key << " time " << time << " value " << value << " columns " << columns;
    return out.str();
  }
};

struct ModelRow {
  int64_t time = 0;
  std::optional<int64_t> a, s, l;  // what the three columns were made of
};

std::string text_of(int64_t v) { return std::string(size_t(v % 23), 'x') + std::to_string(v); }
std::vector<double> list_of(int64_t v) { return std::vector<double>(size_t(v % 5), double(v)); }

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
        if (!with_keys({op.key}, [&](const Keys& k) { return table_->remove(k, &removed); }).ok())
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
    }
    return "";
  }
  std::string check_all(int64_t keys) {
    for (int64_t key = 0; key < keys; key++)
      if (std::string wrong = check(key); !wrong.empty()) return wrong;
    return scan();
  }

 private:
  std::string name(int64_t key) const { return std::string(size_t(key), 'k'); }  // one is empty
  template <class F>
  Status with_keys(const std::vector<int64_t>& ids, F&& f) {
    std::vector<std::string> names;
    std::vector<gyr_str> views;
    for (int64_t id : ids) names.push_back(name(id));
    for (auto& n : names) views.push_back({n.data(), n.size()});
    Keys keys{strings_ ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, strings_ ? nullptr : ids.data(),
              strings_ ? views.data() : nullptr, ids.size()};
    return f(keys);
  }

  std::string upsert(const Op& op) {
    int64_t t = now_ + op.time;
    Batch batch;
    batch.rows = 1;
    Column& key = batch.add("id", strings_ ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, false);
    strings_ ? key.push_string(name(op.key)) : key.push_int(op.key);
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
    Status read = with_keys(ids, [&](const Keys& k) { return table_->get(k, now_, {0, 1, 2}, &out, &status); });
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

constexpr int64_t kKeys = 40;

std::string run(bool strings, const std::vector<Op>& ops) {
  World world(strings);
  for (size_t i = 0; i < ops.size(); i++)
    if (std::string wrong = world.run(ops[i]); !wrong.empty()) return std::to_string(i) + ": " + wrong;
  return world.check_all(kKeys + 1);
}

std::vector<Op> random_ops(uint64_t seed) {
  Random random{seed};
  std::vector<Op> ops(20 + random.below(300));
  int64_t keys = int64_t(1 + random.below(kKeys));
  for (Op& op : ops) {
    uint64_t pick = random.below(100);
    op.kind = pick < 55   ? Op::kUpsert
              : pick < 70 ? Op::kDelete
              : pick < 88 ? Op::kGet
              : pick < 91 ? Op::kScan
              : pick < 92 ? Op::kReopen
                          : Op::kTick;
    op.key = int64_t(random.below(uint64_t(keys)));
    op.time = op.kind == Op::kTick ? int64_t(random.below(60)) * kSecond : (int64_t(random.below(140)) - 120) * kSecond;
    op.value = int64_t(random.below(1'000'000));
    op.columns = int(random.below(64));
  }
  return ops;
}

// Leaves out ever smaller stretches as long as something still fails.
std::vector<Op> shrink(bool strings, std::vector<Op> ops) {
  for (size_t step = ops.size() / 2; step > 0; step /= 2)
    for (size_t at = 0; at + step <= ops.size();) {
      std::vector<Op> fewer = ops;
      fewer.erase(fewer.begin() + ptrdiff_t(at), fewer.begin() + ptrdiff_t(at + step));
      if (run(strings, fewer).empty())
        at += step;
      else
        ops = fewer;
    }
  return ops;
}

class TableSequences : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Keys, TableSequences, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "strings" : "ints"; });

TEST_P(TableSequences, FollowTheModel) {
  const char* text = std::getenv("GYR_SEQUENCES");
  uint64_t sequences = text ? std::strtoull(text, nullptr, 10) : 300;
  for (uint64_t seed = 0; seed < sequences; seed++) {
    std::vector<Op> ops = random_ops(seed);
    std::string wrong = run(GetParam(), ops);
    if (wrong.empty()) continue;
    ops = shrink(GetParam(), ops);
    std::ostringstream story;
    for (auto& op : ops) story << "\n  " << op.text();
    FAIL() << "seed " << seed << ", after shrinking " << run(GetParam(), ops) << story.str();
  }
}

}  // namespace
}  // namespace gyr
