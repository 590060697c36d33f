// Joins of many labels, against a list of versions per entity: many chunks, event times that tie or share a step of the
// index, nulls, several groups, strings and lists.
#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "tests/table/rows.h"

namespace gyr {
namespace {

struct Version {
  int64_t event, created;
  std::optional<int64_t> value;
};
using Past = std::map<int64_t, std::vector<Version>>;

std::string key_text(int64_t id) { return "entity " + std::to_string(id); }
void push_key(bool strings, int64_t id, Column* out) { strings ? out->push_string(key_text(id)) : out->push_int(id); }

constexpr const char* kSmall = R"({"name":"a","dtype":"int32"},{"name":"b","dtype":"bool"})";
constexpr const char* kRanges =
    R"({"name":"a","dtype":"int32"},{"name":"s","dtype":"string"},{"name":"l","dtype":"float32","list":true})";
constexpr const char* kViews = R"(],"views":[{"name":"w","event_time":"wt","columns":["v"]}])";

class Joined {
 public:
  Joined(bool strings, const char* columns, bool view = false) : strings_(strings) {
    table_ = make((R"({"name":"t","key":"id","key_dtype":")" + std::string(strings ? "string" : "int64") +
                   R"(","event_time":"ts","created_time":"created","history":{"versions":40},"columns":[)" + columns +
                   R"(,{"name":"v","dtype":"float64"})" + (view ? kViews : "]") + "}")
                      .c_str());
    view_ = view;
  }

  // Event times of a few values, so that they tie; some a thousand years away, so that a step is years.
  void fill(int64_t entities) {
    for (int64_t id = 0; id < entities; id++)
      for (uint64_t left = random_() % 24; left > 0; left--) {
        Version v{int64_t(random_() % 9) * 10 - 40, 0, std::nullopt};
        if (id % 3 == 0 && random_() % 4 == 0) v.event = (v.event + 7) * (int64_t(1) << 49);
        v.created = v.event + int64_t(random_() % 4) * 10;
        if (random_() % 5) v.value = int64_t(random_() % 1000);
        put(id, v);
      }
  }
  void check(int64_t entities, int64_t labels, bool known) {
    Batch in;
    in.rows = labels;
    in.add("id", strings_ ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, false);
    in.add("ts", GYR_DTYPE_TIMESTAMP, false);
    std::vector<int64_t> ids, times;
    for (int64_t i = 0; i < labels; i++) {
      ids.push_back(int64_t(random_() % uint64_t(entities + 3)));  // the last three are not there
      times.push_back(int64_t(random_() % 140) - 50);
      if (random_() % 16 == 0) times.back() = random_() % 2 ? kAll : INT64_MIN;
      push_key(strings_, ids.back(), &in.columns[0]);
      in.columns[1].push_int(times.back());
    }
    std::vector<std::string> columns;
    for (auto& f : table_->columns()) columns.push_back(f.name);
    auto join = AsOfJoin::make(table_, fields_of(in),
                               {.known = known, .key = "", .time = "", .prefix = "", .columns = columns});
    ASSERT_TRUE(join.ok()) << join.status().message();
    Batch out;
    Status s = join->run(&in, &out);
    ASSERT_TRUE(s.ok()) << s.message();
    for (size_t c = 2; c < out.columns.size(); c++) {
      ASSERT_EQ(out.columns[c].rows(), labels);
      for (int64_t i = 0; i < labels; i++) {
        auto want = in_force(ids[size_t(i)], times[size_t(i)], known);
        ASSERT_EQ(text_of(out.columns[c], i), text_of(out.names[c], want)) << out.names[c] << " of label " << i;
      }
    }
  }

 private:
  void put(int64_t id, const Version& v) {
    auto& past = past_[id];
    if (std::any_of(past.begin(), past.end(), [&](auto& o) { return o.event == v.event && o.created == v.created; }))
      return;
    past.push_back(v);
    Batch b;
    b.rows = 1;
    push_key(strings_, id, &b.add("id", strings_ ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, false));
    b.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(v.event);
    if (view_) b.add("wt", GYR_DTYPE_TIMESTAMP, false).push_int(v.event);
    b.add("created", GYR_DTYPE_TIMESTAMP, false).push_int(v.created);
    for (auto& f : table_->columns()) {
      Column& c = b.add(f.name, f.dtype, f.is_list);
      if (!v.value) {
        c.push_null_row();
        continue;
      }
      if (f.name == "a") c.push_int(*v.value);
      if (f.name == "b") c.push_int(*v.value % 2);
      if (f.name == "v") c.push_float(double(*v.value) / 2);
      if (f.name == "s") c.push_string(std::string(size_t(*v.value % 50), 'x'));
      if (!f.is_list) continue;
      for (int64_t k = 0; k < *v.value % 6; k++) c.push_float(double(k));
      c.end_list();
    }
    Table::UpsertStats stats;
    Status s = table_->upsert(b, &stats);
    ASSERT_TRUE(s.ok()) << s.message();
  }
  std::optional<int64_t> in_force(int64_t id, int64_t time, bool known) const {
    auto past = past_.find(id);
    const Version* best = nullptr;
    if (past == past_.end()) return std::nullopt;
    for (auto& v : past->second) {
      if (v.event > time || (known && v.created > time)) continue;
      if (!best || std::pair(v.event, v.created) > std::pair(best->event, best->created)) best = &v;
    }
    return best ? best->value : std::nullopt;
  }
  static std::string text_of(const Column& c, int64_t i) {
    if (c.row_is_null(i)) return "null";
    if (c.is_list) return std::to_string(c.list_offsets[size_t(i) + 1] - c.list_offsets[size_t(i)]) + " values";
    if (c.physical() == Physical::kString) return std::string(c.string(i));
    return std::to_string(c.physical() == Physical::kInt ? double(c.ints[size_t(i)]) : c.floats[size_t(i)]);
  }
  static std::string text_of(const std::string& name, std::optional<int64_t> value) {
    if (!value) return "null";
    if (name == "s") return std::string(size_t(*value % 50), 'x');
    if (name == "l") return std::to_string(*value % 6) + " values";
    return std::to_string(name == "a" ? double(*value) : name == "b" ? double(*value % 2) : double(*value) / 2);
  }

  bool strings_, view_ = false;
  std::shared_ptr<Table> table_;
  Past past_;
  std::mt19937_64 random_{7};
};

TEST(TableJoin, LooksUpManyLabelsTogether) {
  Joined j(false, kSmall);
  j.fill(700);
  for (bool known : {true, false})
    for (int64_t labels : {0, 1, 255, 5000, 70'000}) j.check(700, labels, known);
}
TEST(TableJoin, OfStringKeys) {
  Joined j(true, kSmall);
  j.fill(300);
  for (bool known : {true, false}) j.check(300, 5000, known);
}
TEST(TableJoin, OfStringsAndLists) {
  for (bool strings : {false, true}) {
    Joined j(strings, kRanges);
    j.fill(300);
    for (bool known : {true, false}) j.check(300, 5000, known);
  }
}
TEST(TableJoin, OfSeveralGroups) {
  for (const char* columns : {kSmall, kRanges}) {
    Joined j(false, columns, true);
    j.fill(300);
    for (bool known : {true, false}) j.check(300, 5000, known);
  }
}

}  // namespace
}  // namespace gyr
