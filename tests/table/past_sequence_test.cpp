// Random sequences of operations on a table with a history and a view, against a model that is nothing but rules.
#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "tests/table/sequences.h"

namespace gyr {
namespace {

constexpr const char* kRest = R"(,"event_time":"ts","ttl_seconds":100,"history":{"versions":4,"seconds":150},
  "columns":[{"name":"a","dtype":"int32"},{"name":"s","dtype":"string"},{"name":"l","dtype":"float32","list":true}],
  "views":[{"name":"w","event_time":"wt","ttl_seconds":40,"columns":["s","l"]}]})";
constexpr int64_t kTtl[2] = {100 * kSecond, 40 * kSecond}, kKept = 150 * kSecond;
constexpr size_t kVersions = 4;

int group_of(int column) { return column > 0; }

// What the three columns were made of; a group's are the ones it has.
using Values = std::array<std::optional<int64_t>, 3>;
struct Version {
  int64_t event, created;
  Values values;
};
struct Entity {
  struct Group {
    bool there = false;
    int64_t time = 0;
    std::vector<Version> past;
  } groups[2];
  Values now;
};

class World {
 public:
  explicit World(bool strings) : strings_(strings) {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    runtime_ = *Runtime::create(o);
    table_ = *Table::create(
        runtime_, R"({"name":"t","key":"id","key_dtype":")" + std::string(strings ? "string" : "int64") + "\"" + kRest);
  }

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
        return read(op.key);
      case Op::kAsOf:
        return read_as_of(op.key, now_ + op.time, op.value % 2);
      case Op::kScan:
        return count();
      case Op::kReopen: {
        ContainerWriter writer;
        if (!table_->save(&writer, "t").ok()) return "save fails";
        auto file = Container::parse(*writer.serialize());
        auto loaded = Table::load(runtime_, **file, "t");
        if (!loaded.ok()) return loaded.status().message();
        table_ = *loaded;
        return count();
      }
      case Op::kTick:
        now_ += op.time;
        return "";
      case Op::kSweep:
        return sweep_all(table_.get(), now_) ==
                       int64_t(std::erase_if(model_, [&](auto& e) { return is_over(e.second); }))
                   ? ""
                   : "sweep counts wrongly";
    }
    return "";
  }
  std::string check_all(int64_t keys) {
    for (int64_t key = 0; key < keys; key++) {
      if (std::string wrong = read(key); !wrong.empty()) return wrong;
      for (int64_t back = 0; back < 300; back += 25)
        for (bool known : {false, true})
          if (std::string wrong = read_as_of(key, now_ - back * kSecond, known); !wrong.empty()) return wrong;
    }
    return count();
  }

 private:
  static bool has(const Op& op, int c) { return op.columns >> c & 1; }
  static std::optional<int64_t> brought(const Op& op, int c) {
    return op.columns >> (3 + c) & 1 ? std::nullopt : std::optional<int64_t>(op.value);
  }
  bool is_over(const Entity& e) const {
    for (int g : {0, 1})
      if (e.groups[g].there && e.groups[g].time + kTtl[g] + kKept >= now_) return false;
    return true;
  }

  std::string upsert(const Op& op) {
    const int64_t times[2] = {now_ + op.time, now_ + op.time + (op.value % 7 - 3) * kSecond};
    const bool brings[2] = {has(op, 0) || !(has(op, 1) || has(op, 2)), has(op, 1) || has(op, 2)};
    const int64_t created = now_ - op.value % 3 * kSecond;
    Table::UpsertStats stats;
    if (Status s = table_->upsert(batch_of(op, times, brings), &stats, created); !s.ok()) return s.message();
    Entity& e = model_[op.key];
    bool applied = false, kept = false;
    for (int g : {0, 1}) {
      if (!brings[g]) continue;
      auto [is_kept, is_newest] = remember(op, g, times[g], created, &e.groups[g].past);
      kept |= is_kept;
      if (!is_newest || (e.groups[g].there && e.groups[g].time > times[g])) continue;
      applied = true;
      bool gone = !e.groups[g].there || e.groups[g].time + kTtl[g] < times[g];
      e.groups[g].there = true, e.groups[g].time = times[g];
      for (int c = 0; c < 3; c++)
        if (group_of(c) == g) e.now[size_t(c)] = has(op, c) ? brought(op, c) : gone ? std::nullopt : e.now[size_t(c)];
    }
    bool right = stats.applied == applied && stats.late == (!applied && kept) && stats.stale == (!applied && !kept);
    return right ? "" : "the upsert's statistics are wrong";
  }
  // Whether the version is in the history now, and whether as its newest.
  static std::pair<bool, bool> remember(const Op& op, int g, int64_t t, int64_t created, std::vector<Version>* past) {
    auto sooner = [](const Version& a, const Version& b) {
      return std::pair(a.event, a.created) < std::pair(b.event, b.created);
    };
    Version fresh{t, created, {}};
    auto at = std::upper_bound(past->begin(), past->end(), fresh, sooner);
    bool replay = at != past->begin() && (at - 1)->event == t && (at - 1)->created == created;
    if (at != past->begin() && (at - 1)->event + kTtl[g] >= t) fresh.values = (at - 1)->values;
    for (int c = 0; c < 3; c++)
      if (group_of(c) == g && has(op, c)) fresh.values[size_t(c)] = brought(op, c);
    replay ? *(at - 1) = fresh : *past->insert(at, fresh);
    while (past->size() > kVersions) past->erase(past->begin());
    // What is in force at the horizon stays.
    const int64_t horizon = past->back().event - kKept;
    while (past->size() > 1 && past->front().event < horizon) {
      auto later = std::find_if(past->begin(), past->end(), [&](auto& v) { return v.event > past->front().event; });
      if (later == past->end() || later->event > horizon) break;
      past->erase(past->begin(), later);
    }
    auto same = [&](const Version& v) { return v.event == t && v.created == created; };
    return {std::any_of(past->begin(), past->end(), same), same(past->back())};
  }
  Batch batch_of(const Op& op, const int64_t* times, const bool* brings) const {
    Batch batch;
    batch.rows = 1;
    push_key(strings_, op.key, &batch.add("id", strings_ ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, false));
    if (brings[0]) batch.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(times[0]);
    Column& wt = batch.add("wt", GYR_DTYPE_TIMESTAMP, false);
    brings[1] ? wt.push_int(times[1]) : wt.push_null_row();
    if (has(op, 0)) {
      Column& a = batch.add("a", GYR_DTYPE_INT64, false);
      brought(op, 0) ? a.push_int(op.value) : a.push_null_row();
    }
    if (has(op, 1)) {
      Column& s = batch.add("s", GYR_DTYPE_STRING, false);
      brought(op, 1) ? s.push_string(text_of(op.value)) : s.push_null_row();
    }
    if (has(op, 2)) {
      Column& l = batch.add("l", GYR_DTYPE_FLOAT64, true);
      if (!brought(op, 2)) {
        l.push_null_row();
      } else {
        for (double v : list_of(op.value)) l.push_float(v);
        l.end_list();
      }
    }
    return batch;
  }

  // A value as text: of the model, and of a column.
  static std::string told(int c, std::optional<int64_t> v) {
    if (!v) return "null";
    if (c == 0) return std::to_string(*v);
    if (c == 1) return text_of(*v);
    std::string out = "[";
    for (double x : list_of(*v)) out += std::to_string(x) + ",";
    return out;
  }
  static std::string told(const Column& column, int64_t i) {
    if (column.row_is_null(i)) return "null";
    if (column.physical() == Physical::kString) return std::string(column.string(i));
    if (!column.is_list) return std::to_string(column.ints[size_t(i)]);
    std::string out = "[";
    for (int64_t k = column.list_offsets[size_t(i)]; k < column.list_offsets[size_t(i) + 1]; k++)
      out += std::to_string(column.floats[size_t(k)]) + ",";
    return out;
  }

  std::string read(int64_t key) {
    Batch out;
    std::vector<uint8_t> status;
    Status s = with_keys(strings_, {key}, [&](const Keys& k) {
      return table_->get(k, now_, {0, 1, 2}, &out, &status);
    });
    if (!s.ok()) return s.message();
    auto it = model_.find(key);
    for (int c = 0; c < 3; c++) {
      uint8_t want = GYR_VALUE_MISSING;
      if (it != model_.end())
        if (auto& g = it->second.groups[group_of(c)]; g.there && g.time <= now_)
          want = g.time + kTtl[group_of(c)] < now_ ? GYR_VALUE_EXPIRED
                 : it->second.now[size_t(c)]       ? GYR_VALUE_PRESENT
                                                   : GYR_VALUE_NULL;
      if (status[size_t(c)] != want)
        return "status of column " + std::to_string(c) + " of key " + std::to_string(key) + " is " +
               std::to_string(status[size_t(c)]) + ", not " + std::to_string(want);
      if (want == GYR_VALUE_PRESENT && told(out.columns[size_t(c)], 0) != told(c, it->second.now[size_t(c)]))
        return "column " + std::to_string(c) + " of key " + std::to_string(key);
    }
    return "";
  }

  std::string read_as_of(int64_t key, int64_t time, bool known) {
    Batch out;
    for (const Field& f : table_->columns()) out.add(f.name, f.dtype, f.is_list);
    Status s = with_keys(strings_, {key}, [&](const Keys& k) {
      return table_->append_as_of(k, &time, known, {0, 1, 2}, out.columns.data());
    });
    if (!s.ok()) return s.message();
    auto it = model_.find(key);
    for (int c = 0; c < 3; c++) {
      const Version* found = nullptr;
      if (it != model_.end())
        for (const Version& v : it->second.groups[group_of(c)].past)
          if (v.event <= time && (!known || v.created <= time)) found = &v;
      if (found && found->event + kTtl[group_of(c)] < time) found = nullptr;
      std::string want = found ? told(c, found->values[size_t(c)]) : "null";
      if (std::string got = told(out.columns[size_t(c)], 0); got != want)
        return "column " + std::to_string(c) + " of key " + std::to_string(key) + " as of " + std::to_string(time) +
               (known ? " as known" : "") + " is " + got + ", not " + want;
    }
    return "";
  }

  std::string count() {
    uint64_t versions = 0;
    for (auto& [key, e] : model_) versions += e.groups[0].past.size() + e.groups[1].past.size();
    if (table_->rows() != model_.size()) return "rows() is " + std::to_string(table_->rows());
    return table_->versions() == versions
               ? ""
               : "versions() is " + std::to_string(table_->versions()) + ", not " + std::to_string(versions);
  }

  const bool strings_;
  int64_t now_ = 1000 * kSecond;
  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<Table> table_;
  std::map<int64_t, Entity> model_;
};

class TablePast : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Keys, TablePast, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "strings" : "ints"; });

TEST_P(TablePast, FollowsTheModel) {
  follow_the_model([&](const std::vector<Op>& ops) { return run_in(World(GetParam()), ops); });
}

}  // namespace
}  // namespace gyr
