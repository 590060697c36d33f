// Reads of several tables that were prepared once.
#include "table/get_plan.h"
#include "tests/table/rows.h"

namespace gyr {
namespace {

constexpr const char* kOne = R"({"name":"one","key":"id","event_time":"ts","ttl_seconds":10,
  "columns":[{"name":"v","dtype":"int32"},{"name":"w","dtype":"int64"}]})";
constexpr const char* kTwo = R"({"name":"two","key":"name","key_dtype":"string","columns":[
  {"name":"text","dtype":"string"},{"name":"list","dtype":"int16","list":true},{"name":"x","dtype":"float32"}]})";

class Plan : public ::testing::Test {
 protected:
  Plan() : one(make(kOne)), two(make(kTwo)) {
    EXPECT_TRUE(one->upsert(row(1, 5'000'000, {{"v", 10}, {"w", 11}}), nullptr).ok());
    EXPECT_TRUE(one->upsert(row(2, 5'000'000, {{"v", 20}}), nullptr).ok());
    Batch b;
    b.rows = 1;
    b.add("name", GYR_DTYPE_STRING, false).push_string("a");
    b.add("text", GYR_DTYPE_STRING, false).push_string("hello");
    Column& list = b.add("list", GYR_DTYPE_INT64, true);
    list.push_int(7), list.push_int(8), list.end_list();
    b.add("x", GYR_DTYPE_FLOAT64, false).push_float(0.5);
    EXPECT_TRUE(two->upsert(b, nullptr).ok());
  }
  Status run(GetPlan& plan, int64_t now, std::vector<gyr_table_column> to, uint64_t keys = 3) {
    auto scratch = plan.lend();
    scratch->keys[0] = {GYR_DTYPE_INT64, ids, nullptr, keys};
    if (plan.tables() > 1) scratch->keys[1] = {GYR_DTYPE_STRING, nullptr, names, 3};
    scratch->to = std::move(to);
    return plan.run(now, &*scratch);
  }
  std::shared_ptr<Table> one, two;
  int64_t ids[3] = {2, 1, 3};
  gyr_str names[3] = {{"a", 1}, {"b", 1}, {"a", 1}};
};

gyr_table_column into(void* values, uint64_t room, uint8_t* status) {
  gyr_table_column c{};
  c.struct_size = sizeof c;
  c.values = values;
  c.values_capacity = room;
  c.status = status;
  return c;
}
gyr_value number(int64_t i) {
  gyr_value v{};
  v.dtype = GYR_DTYPE_INT64;
  v.i = i;
  return v;
}
gyr_value real(double f) {
  gyr_value v{};
  v.dtype = GYR_DTYPE_FLOAT64;
  v.f = f;
  return v;
}

TEST_F(Plan, ReadsSeveralTablesAtOnce) {
  const gyr_value other = number(-1);
  const GetPlan::Wanted wanted[] = {{0, "v", GYR_DTYPE_FLOAT64, nullptr},
                                    {1, "text", GYR_DTYPE_NONE, nullptr},
                                    {0, "w", GYR_DTYPE_NONE, &other},
                                    {1, "list", GYR_DTYPE_INT32, nullptr}};
  auto plan = GetPlan::make({one, two}, wanted, 4);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  double v[3];
  gyr_str text[3];
  int64_t w[3], offsets[4];
  int32_t list[4];
  char heap[10];
  uint8_t status[4][3];
  std::vector<gyr_table_column> to{into(v, 3, status[0]), into(text, 3, status[1]), into(w, 3, status[2]),
                                   into(list, 4, status[3])};
  to[1].heap = heap, to[1].heap_capacity = sizeof heap;
  to[3].offsets = offsets;
  for (int round = 0; round < 2; round++) {
    Status s = run(**plan, 6'000'000, to);
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_EQ(std::vector<double>(v, v + 3), (std::vector<double>{20, 10, 0}));
    EXPECT_EQ(std::vector<int64_t>(w, w + 3), (std::vector<int64_t>{-1, 11, -1}));
    EXPECT_EQ(std::string(text[2].data, text[2].len), "hello");
    EXPECT_EQ(std::vector<int64_t>(offsets, offsets + 4), (std::vector<int64_t>{0, 2, 2, 4}));
    EXPECT_EQ(std::vector<int32_t>(list, list + 4), (std::vector<int32_t>{7, 8, 7, 8}));
    constexpr uint8_t P = GYR_VALUE_PRESENT, M = GYR_VALUE_MISSING, D = GYR_VALUE_DEFAULT;
    const uint8_t want[4][3] = {{P, P, M}, {P, M, P}, {D, P, D}, {P, M, P}};
    for (int c = 0; c < 4; c++)
      for (int i = 0; i < 3; i++) EXPECT_EQ(status[c][i], want[c][i]) << c << " " << i;
  }
  ASSERT_TRUE(run(**plan, 16'000'000, to).ok());
  EXPECT_EQ(status[0][1], GYR_VALUE_EXPIRED);
  EXPECT_EQ(status[2][1], GYR_VALUE_DEFAULT);
  EXPECT_EQ(w[1], -1);
  to[2].status = nullptr;  // a default is written whether its status is wanted or not
  w[1] = 5;
  ASSERT_TRUE(run(**plan, 16'000'000, to).ok());
  EXPECT_EQ(w[1], -1);
  // Nothing is written when something does not fit.
  to[1].heap_capacity = 9;
  v[0] = 99;
  Status s = run(**plan, 6'000'000, to);
  EXPECT_EQ(s.code(), GYR_E_RESOURCE_EXHAUSTED) << s.message();
  EXPECT_EQ(v[0], 99);
  to[1].heap_capacity = 10;
  EXPECT_EQ(run(**plan, 6'000'000, to, 2).code(), GYR_E_INVALID_ARGUMENT) << "counts differ";
}

TEST_F(Plan, OutlivesTheHandlesOfItsTables) {
  const GetPlan::Wanted wanted[] = {{0, "v", GYR_DTYPE_NONE, nullptr}};
  auto plan = *GetPlan::make({one}, wanted, 1);
  one.reset();
  int32_t v[3];
  uint8_t status[3];
  ASSERT_TRUE(run(*plan, kAll, {into(v, 3, status)}).ok());
  EXPECT_EQ(v[0], 20);
}

TEST_F(Plan, RefusesWhatCannotBeRead) {
  auto code = [&](GetPlan::Wanted w) { return GetPlan::make({one, two}, &w, 1).status().code(); };
  gyr_value large = number(int64_t(1) << 40), fraction = real(1.5), huge = real(1e300), text{};
  text.dtype = GYR_DTYPE_STRING;
  EXPECT_EQ(code({0, "v", GYR_DTYPE_INT32, nullptr}), GYR_OK);
  EXPECT_EQ(code({2, "v", GYR_DTYPE_INT32, nullptr}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({1, "v", GYR_DTYPE_INT32, nullptr}), GYR_E_NOT_FOUND);
  EXPECT_EQ(code({0, "v", GYR_DTYPE_INT8, nullptr}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({0, "v", 99, nullptr}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({0, "v", GYR_DTYPE_INT64, &large}), GYR_OK);
  EXPECT_EQ(code({0, "v", GYR_DTYPE_INT32, &large}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({0, "v", GYR_DTYPE_INT32, &fraction}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({0, "v", GYR_DTYPE_FLOAT64, &fraction}), GYR_OK);
  EXPECT_EQ(code({1, "x", GYR_DTYPE_FLOAT32, &huge}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({1, "x", GYR_DTYPE_FLOAT32, &text}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({1, "text", GYR_DTYPE_NONE, &text}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code({1, "list", GYR_DTYPE_NONE, &large}), GYR_E_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace gyr
