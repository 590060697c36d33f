// Serving: 200 candidates through a dlrm, one user through a tower. Training: epochs of the MovieLens-100K demo's
// shapes.
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "exec/runtime.h"
#include "model/model.h"

namespace {

using namespace gyr;

std::shared_ptr<Runtime> runtime(uint32_t threads = 1) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = threads;
  return *Runtime::create(o);
}

constexpr int64_t kItems = 1685;
const char* kSchema = R"({"columns":[
  {"name":"history","dtype":"int64","list":true,"tags":["user","categorical"],"cardinality":1685,"domain":"item"},
  {"name":"age","dtype":"int64","tags":["user","categorical"],"cardinality":15},
  {"name":"gender","dtype":"int64","tags":["user","categorical"],"cardinality":5},
  {"name":"occupation","dtype":"int64","tags":["user","categorical"],"cardinality":24},
  {"name":"n","dtype":"float32","tags":["user","continuous"]},
  {"name":"item","dtype":"int64","tags":["item","categorical"],"cardinality":1685,"domain":"item"},
  {"name":"genres","dtype":"int64","list":true,"tags":["item","categorical"],"cardinality":22},
  {"name":"year","dtype":"int64","tags":["item","categorical"],"cardinality":17},
  {"name":"count","dtype":"float32","tags":["item","continuous"]}]})";

// Rows of the demo: histories of up to `history` items, three genres, a label of one in five.
Batch rows(int64_t n, int64_t history) {
  Batch b;
  b.columns.reserve(12);
  Random random(1);
  auto code = [&](const char* name, int64_t cardinality) {
    Column& c = b.add(name, GYR_DTYPE_INT64, false);
    for (int64_t r = 0; r < n; r++) c.push_int(int64_t(random.below(uint64_t(cardinality))));
  };
  auto codes = [&](const char* name, int64_t cardinality, int64_t length) {
    Column& c = b.add(name, GYR_DTYPE_INT64, true);
    for (int64_t r = 0; r < n; r++) {
      for (int64_t i = 0; i < length; i++) c.push_int(int64_t(random.below(uint64_t(cardinality))));
      c.end_list();
    }
  };
  auto value = [&](const char* name) {
    Column& c = b.add(name, GYR_DTYPE_FLOAT32, false);
    for (int64_t r = 0; r < n; r++) c.push_float(random.uniform());
  };
  code("age", 15), code("gender", 5), code("occupation", 24), code("item", kItems), code("year", 17);
  codes("history", kItems, history), codes("genres", 22, 3);
  value("n"), value("count"), value("weight");
  Column& label = b.add("label", GYR_DTYPE_FLOAT32, false);
  for (int64_t r = 0; r < n; r++) label.push_float(r % 5 == 0);
  b.rows = n;
  return b;
}

std::unique_ptr<Trainer> trained(const char* spec, const Batch& b, uint32_t threads = 1) {
  auto t = Trainer::create(runtime(threads), spec, kSchema);
  if (!t.ok() || !(*t)->add_rows(b).ok() || !(*t)->fit(nullptr).ok()) return nullptr;
  return std::move(*t);
}

std::vector<const Column*> bind(const Batch& b, const ModelInputs& inputs) {
  std::vector<const Column*> out;
  for (const std::string& name : inputs.names) out.push_back(&b.columns[size_t(b.find(name))]);
  return out;
}

// 6 features, d = 16, bottom [32, 16], top [64, 32].
void dlrm_score(benchmark::State& state) {
  Batch b = rows(512, 50);
  auto t = trained(R"({"version":1,"kind":"dlrm","label":"label","dim":16,"bottom":[32,16],"top":[64,32],"epochs":1,
    "user_features":["history","n"],"item_features":["item","genres","year","count"]})",
                   b);
  if (!t) return state.SkipWithError("train");
  auto model = *t->export_model();
  auto user = bind(b, model->score_user_inputs()), items = bind(b, model->score_item_inputs());
  auto scratch = model->make_scratch();
  std::vector<float> out(size_t(state.range(0)));
  for (auto _ : state) {
    if (!model->score(user, 3, items, 0, state.range(0), scratch.get(), out.data()).ok()) break;
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(dlrm_score)->Arg(200)->Unit(benchmark::kMicrosecond);

const char* kTower = R"({"version":1,"kind":"two_tower","item":"item","dim":32,"embedding_dim":32,"hidden":[64],
  "batch":512,"epochs":4,"learning_rate":0.002,"sampling":{"column":"weight"},
  "user_features":["history","age","gender","occupation","n"],"item_features":["item","genres","year"]})";

void two_tower_encode(benchmark::State& state) {
  Batch b = rows(512, 50);
  auto t = trained(kTower, b);
  if (!t) return state.SkipWithError("train");
  auto model = *t->export_model();
  auto side = gyr_side(state.range(0));
  auto columns = bind(b, model->encode_inputs(side));
  auto scratch = model->make_scratch();
  std::vector<float> out(size_t(state.range(1)) * model->dim());
  for (auto _ : state) {
    if (!model->encode(side, columns, state.range(1), scratch.get(), out.data()).ok()) break;
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(two_tower_encode)->Args({GYR_SIDE_USER, 1})->Args({GYR_SIDE_ITEM, 512})->Unit(benchmark::kMicrosecond);

// 41,287 positives, few of them with a history; 4 epochs.
void two_tower_train(benchmark::State& state) {
  Batch b = rows(41287, 4);
  for (auto _ : state)
    if (!trained(kTower, b, uint32_t(state.range(0)))) return state.SkipWithError("train");
}
BENCHMARK(two_tower_train)->Arg(1)->Arg(2)->Unit(benchmark::kSecond)->UseRealTime()->Iterations(1);

// Five rows per positive; 2 epochs.
void dlrm_train(benchmark::State& state) {
  Batch b = rows(41287 * 5, 4);
  for (auto _ : state)
    if (!trained(R"({"version":1,"kind":"dlrm","label":"label","dim":8,"bottom":[32,8],"top":[64,32],"batch":2560,
          "epochs":2,"optimizer":"adagrad","learning_rate":0.05,"sampling":{"column":"weight"},
          "user_features":["history","age","gender","occupation","n"],
          "item_features":["item","genres","year","count"]})",
                 b, uint32_t(state.range(0))))
      return state.SkipWithError("train");
}
BENCHMARK(dlrm_train)->Arg(1)->Arg(2)->Unit(benchmark::kSecond)->UseRealTime()->Iterations(1);

}  // namespace
