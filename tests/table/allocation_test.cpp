// A table's reads allocate nothing once their buffers have grown.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "table/get_plan.h"

static std::atomic<int64_t> allocations{0};
[[gnu::noinline]] void* operator new(size_t n) {
  allocations++;
  if (void* p = std::malloc(n ? n : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {  // or the sanitizers bring theirs
  allocations++;
  return std::malloc(n ? n : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace gyr {
namespace {

TEST(TableAllocation, ReadsAllocateNothingAfterWarmUp) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  auto t = *Table::create(*Runtime::create(o), R"({"name":"a table with a long name","key":"id","event_time":"ts",
    "ttl_seconds":100,"history":{"versions":3},"columns":[{"name":"a column whose name is long","dtype":"int32"},{"name":"s","dtype":"string"},
    {"name":"l","dtype":"float32","list":true},{"name":"ls","dtype":"string","list":true}]})");
  std::vector<int64_t> ids;
  Batch b;
  b.rows = 200;
  b.add("id", GYR_DTYPE_INT64, false);
  b.add("ts", GYR_DTYPE_TIMESTAMP, false);
  b.add("a column whose name is long", GYR_DTYPE_INT32, false);
  b.add("s", GYR_DTYPE_STRING, false);
  b.add("l", GYR_DTYPE_FLOAT32, true);
  b.add("ls", GYR_DTYPE_STRING, true);
  for (int64_t i = 0; i < b.rows; i++) {
    ids.push_back(i + i % 3 * 1000);  // a third of them is there
    b.columns[0].push_int(i);
    b.columns[1].push_int(i);
    i % 5 ? b.columns[2].push_int(i) : b.columns[2].push_null_leaf();
    b.columns[3].push_string(std::string(size_t(i), 'x'));
    for (int64_t k = 0; k < i % 7; k++) {
      b.columns[4].push_float(double(k));
      k % 2 ? b.columns[5].push_string("a string of some length") : b.columns[5].push_null_leaf();
    }
    b.columns[4].end_list();
    b.columns[5].end_list();
  }
  ASSERT_TRUE(t->upsert(b, nullptr).ok());

  const Keys keys{GYR_DTYPE_INT64, ids.data(), nullptr, ids.size()};
  const std::vector<int> columns{0, 1, 2, 3};
  Batch out;
  std::vector<uint8_t> status;
  std::vector<int32_t> numbers(ids.size());
  std::vector<uint8_t> number_status(ids.size());
  gyr_table_column into{};
  into.struct_size = sizeof into;
  into.name = "a column whose name is long";
  into.dtype = GYR_DTYPE_INT32;
  into.values = numbers.data();
  into.values_capacity = numbers.size();
  into.status = number_status.data();
  std::vector<int64_t> times(ids.size(), INT64_MAX);
  gyr_value other{};
  other.dtype = GYR_DTYPE_INT64;
  const GetPlan::Wanted wanted[] = {{0, into.name, GYR_DTYPE_INT32, &other}, {1, into.name, GYR_DTYPE_INT32, nullptr}};
  auto plan = *GetPlan::make({t, t}, wanted, 2);
  auto run_plan = [&] {
    auto scratch = plan->lend();
    for (size_t i = 0; i < 2; i++) scratch->keys[i] = keys, scratch->to[i] = into;
    scratch->to[0].status = nullptr;
    return plan->run(150, &*scratch).ok();
  };
  auto round = [&] {
    return t->get(keys, 150, columns, &out, &status).ok() && t->read_into(keys, 150, &into, 1).ok() &&
           t->read_as_of(keys, times.data(), true, &into, 1).ok() && run_plan();
  };
  ASSERT_TRUE(round());
  int64_t before = allocations;
  for (int i = 0; i < 10; i++) ASSERT_TRUE(round());
  EXPECT_EQ(allocations - before, 0);
  EXPECT_GT(before, 0) << "the counter does not see operator new";
}

}  // namespace
}  // namespace gyr
