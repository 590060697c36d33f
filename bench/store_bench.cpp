// Batch reads from 1M rows: four table columns, and 64-float cache rows.
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "cache/cache.h"
#include "exec/runtime.h"
#include "table/table.h"

namespace {

using namespace gyr;
constexpr int64_t kRows = 1'000'000;

std::shared_ptr<Runtime> runtime() {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  return *Runtime::create(o);
}

std::vector<int64_t> random_keys(size_t n) {
  Random random{1};
  std::vector<int64_t> keys(n);
  for (auto& k : keys) k = int64_t(random.below(kRows));
  return keys;
}

void table_get(benchmark::State& state) {
  auto table = *Table::create(runtime(), R"({"name":"t","key":"id","columns":[{"name":"a","dtype":"float32"},
    {"name":"b","dtype":"int64"},{"name":"c","dtype":"float64"},{"name":"d","dtype":"int32"}]})");
  Batch batch;
  batch.rows = kRows;
  for (const char* name : {"id", "a", "b", "c", "d"}) batch.add(name, GYR_DTYPE_INT64, false);
  for (int64_t i = 0; i < kRows; i++)
    for (auto& c : batch.columns) c.push_int(i);
  if (!table->upsert(batch, nullptr).ok()) return state.SkipWithError("upsert");
  size_t n = size_t(state.range(0));
  auto keys = random_keys(n * 10000);
  size_t at = 0;
  std::vector<uint8_t> status;
  Batch out;
  for (auto _ : state) {
    if (!table->get({GYR_DTYPE_INT64, &keys[at], nullptr, n}, INT64_MAX, {0, 1, 2, 3}, &out, &status).ok()) break;
    at = (at + n) % keys.size();
  }
  state.counters["per_value"] = benchmark::Counter(double(state.iterations()) * double(n) * 4,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(table_get)->Arg(100);

void cache_get(benchmark::State& state) {
  gyr_cache_options o{};
  o.dim = 64;
  o.keys = gyr_cache_keys(state.range(1));
  o.capacity = kRows;
  auto cache = *Cache::create(runtime(), o);
  std::vector<float> row(64, 1.0f);
  for (int64_t i = 0; i < kRows; i++)
    if (!cache->put(&i, row.data(), 1).ok()) return state.SkipWithError("put");
  size_t n = size_t(state.range(0));
  auto keys = random_keys(n * 1000);
  std::vector<float> out(n * 64);
  std::vector<uint8_t> status(n);
  size_t at = 0;
  for (auto _ : state) {
    if (!cache->get(&keys[at], n, out.data(), status.data()).ok()) break;
    at = (at + n) % keys.size();
  }
  state.counters["per_row"] = benchmark::Counter(double(state.iterations()) * double(n),
                                                 benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(cache_get)->Args({1000, GYR_CACHE_HASHED})->Args({1000, GYR_CACHE_DENSE});

}  // namespace
