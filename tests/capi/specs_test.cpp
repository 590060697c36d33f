// Every small mistake in every kind of JSON text that a host writes: taken, or refused with a status of the function's
// contract and a message; nothing half-made.
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstring>
#include <functional>
#include <string>

#include "tests/support/contract.h"
#include "tests/support/full_graph.h"
#include "tests/support/mutants.h"

namespace {

const char* const kRenames = R"({"version":1,
  "inputs":[{"name":"age","dtype":"float32","list":false},{"name":"at","dtype":"timestamp"},
            {"name":"words","dtype":"string","list":true}],
  "ops":[{"op":"Rename","columns":["words"],"postfix":"_of"},{"op":"Rename","columns":["at"],"name":"when"}],
  "outputs":["age","when"]})";
const char* const kTable = R"({"name":"t","key":"id","key_dtype":"string","event_time":"at","ttl_seconds":3600,
  "columns":[{"name":"flag","dtype":"bool"},{"name":"ratio","dtype":"float32","list":false},
             {"name":"seen","dtype":"int64","list":true}],
  "views":[{"name":"events","event_time":"seen_at","ttl_seconds":60,"columns":["seen"]}],
  "history":{"versions":4,"seconds":600},"created_time":"known_at","memory_budget":1000000})";
const char* const kMonitor = R"({"features":[{"name":"age","kind":"numeric","bins":3},
  {"name":"genre","kind":"categorical"}],"window":4,"min_labels":1,"label_delay_seconds":60,
  "pending_capacity":10,"min_rows":2,"thresholds":{"auc":0.6,"hit_rate":0.5,"psi":0.2,"js":0.06}})";
const char* const kSchema = R"({"columns":[
  {"name":"user","dtype":"int64","list":false,"tags":["categorical","user","id"],"cardinality":50,
   "embedding_size":16,"domain":"users","sources":["user"]},
  {"name":"item","dtype":"int64","tags":["categorical","item","id"],"cardinality":90,"domain":"items"},
  {"name":"history","dtype":"int64","list":true,"tags":["categorical","user"],"cardinality":90,"domain":"items"},
  {"name":"age","dtype":"float32","tags":["continuous","user"]},
  {"name":"year","dtype":"float32","tags":["continuous","item"]},
  {"name":"label","dtype":"float32","tags":["target"]}]})";
const char* const kModels[] = {
    R"({"version":1,"kind":"popularity","item":"item","recency":{"half_life_events":50}})",
    R"({"version":1,"kind":"item_knn","item":"item","user":"user","history":"history","neighbors":4,"shrink":1})",
    R"({"version":1,"kind":"ials","item":"item","user":"user","history":"history","dim":4,"epochs":3,"seed":7})",
    R"({"version":1,"kind":"two_tower","item":"item","dim":4,"embedding_dim":4,"hidden":[6],"batch":10,"epochs":3,
        "learning_rate":0.02,"item_bias":false,"user_features":["history","age"],"item_features":["item","year"],
        "seed":5})",
    R"({"version":1,"kind":"dlrm","label":"label","dim":4,"bottom":[6,4],"top":[6],"batch":10,"epochs":3,
        "optimizer":"adagrad","user_features":["history","age"],"item_features":["item","year"],"seed":6})"};

class Specs : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err_), GYR_OK) << err_.message; }
  void TearDown() override { gyr_runtime_destroy(runtime_); }

  // How many mutants were refused.
  template <class H>
  int sweep(const char* function, const std::string& text,
            const std::function<gyr_status(const char*, H**, gyr_error*)>& create, void (*destroy)(H*)) {
    int refused = 0;
    H* none = reinterpret_cast<H*>(this);
    auto try_one = [&](const std::string& spec, const std::string& where) {
      H* made = none;
      err_.message[0] = 0;
      gyr_status s = create(spec.c_str(), &made, &err_);
      gyr::test::expect_in_contract(function, s);
      if (s == GYR_OK) return destroy(made);
      refused++;
      EXPECT_EQ(made, none) << where;
      EXPECT_TRUE(s == GYR_E_INVALID_ARGUMENT || s == GYR_E_FORMAT_TOO_NEW || s == GYR_E_UNSUPPORTED)
          << where << ": " << gyr_status_name(s) << ": " << err_.message << "\n"
          << spec;
      EXPECT_GT(std::strlen(err_.message), 4u) << where;
    };
    H* made = none;
    EXPECT_EQ(create(text.c_str(), &made, &err_), GYR_OK) << err_.message;
    if (made != none) destroy(made);
    gyr::test::for_each_mutant(text, try_one);
    return refused;
  }

  gyr_runtime* runtime_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
};

TEST_F(Specs, Workflow) {
  auto create = [&](const char* s, gyr_workflow** out, gyr_error* e) {
    return gyr_workflow_create(runtime_, s, out, e);
  };
  EXPECT_GT(sweep<gyr_workflow>("gyr_workflow_create", gyr::test::kFullGraph, create, gyr_workflow_destroy), 1000);
  EXPECT_GT(sweep<gyr_workflow>("gyr_workflow_create", kRenames, create, gyr_workflow_destroy), 100);
}

TEST_F(Specs, Vocabularies) {
  const char* graph = R"({"version":1,
    "inputs":[{"name":"id","dtype":"int64"},{"name":"price","dtype":"float64"},{"name":"genre","dtype":"string"},
              {"name":"seen","dtype":"int64","list":true},{"name":"flag","dtype":"bool"},{"name":"age","dtype":"float32"}],
    "ops":[{"op":"Categorify","columns":["id","seen"],"joint":true,"vocabs":{"seen":[3,4]}},
           {"op":"Categorify","columns":["price"],"vocabs":{"price":[1,2.5]}},
           {"op":"Categorify","columns":["genre"],"vocabs":{"genre":["a","b"]}},
           {"op":"Categorify","columns":["flag","age"],"freq_threshold":{"flag":1,"age":2},"num_buckets":{"age":3}}]})";
  auto create = [&](const char* s, gyr_workflow** out, gyr_error* e) {
    return gyr_workflow_create(runtime_, s, out, e);
  };
  EXPECT_GT(sweep<gyr_workflow>("gyr_workflow_create", graph, create, gyr_workflow_destroy), 500);
  const std::pair<const char*, const char*> refused[] = {
      {R"("columns":["id","seen"],"joint":true,"groups":[["id","seen"]])", "groups"},
      {R"("columns":["id","seen"],"joint":true,"freq_threshold":{"id":2})", "freq_threshold"},
      {R"("columns":["id","seen"],"joint":true,"max_size":{"id":9})", "max_size"},
      {R"("columns":["id","seen"],"joint":true,"num_buckets":{"id":2})", "num_buckets"},
      {R"("columns":["id","seen"],"joint":true,"vocabs":{"id":[1],"seen":[2]})", "vocabs"},
      {R"("columns":["id"],"freq_threshold":2,"vocabs":{"id":[1]})", "vocabs"},
      {R"("columns":["id"],"max_size":9,"vocabs":{"id":[1]})", "vocabs"},
      {R"("columns":["id"],"vocabs":{"id":[1.5]})", "integers"},
      {R"("columns":["id"],"vocabs":{"id":["a"]})", "integers"},
      {R"("columns":["id"],"vocabs":{"id":7})", "list"},
      {R"("columns":["id"],"vocabs":{"id":[1,1]})", "vocabs"},
      {R"("columns":["price"],"vocabs":{"price":["a"]})", "numbers"},
      {R"("columns":["genre"],"vocabs":{"genre":[1]})", "strings"},
      {R"("columns":["id"],"vocabs":[1])", "vocabs"},
      {R"("columns":["id"],"vocabs":{"price":[1]})", "not among"}};
  for (auto& [op, word] : refused) {
    std::string text = graph;
    size_t at = text.find(R"("ops":[)") + 7;
    text = text.substr(0, at) + R"({"op":"Categorify",)" + op + "}]}";
    gyr_workflow* made = nullptr;
    EXPECT_EQ(gyr_workflow_create(runtime_, text.c_str(), &made, &err_), GYR_E_INVALID_ARGUMENT) << op;
    EXPECT_NE(std::string(err_.message).find(word), std::string::npos) << op << ": " << err_.message;
    gyr_workflow_destroy(made);
  }
}

TEST_F(Specs, Table) {
  auto create = [&](const char* s, gyr_table** out, gyr_error* e) { return gyr_table_create(runtime_, s, out, e); };
  EXPECT_GT(sweep<gyr_table>("gyr_table_create", kTable, create, gyr_table_destroy), 100);
}

TEST_F(Specs, Monitor) {
  auto create = [&](const char* s, gyr_monitor** out, gyr_error* e) { return gyr_monitor_create(runtime_, s, out, e); };
  EXPECT_GT(sweep<gyr_monitor>("gyr_monitor_create", kMonitor, create, gyr_monitor_destroy), 100);
}

TEST_F(Specs, Trainers) {
  for (const char* model : kModels) {
    auto create = [&](const char* s, gyr_trainer** out, gyr_error* e) {
      return gyr_trainer_create(runtime_, s, kSchema, out, e);
    };
    EXPECT_GT(sweep<gyr_trainer>("gyr_trainer_create", model, create, gyr_trainer_destroy), 40);
    auto of_schema = [&](const char* s, gyr_trainer** out, gyr_error* e) {
      return gyr_trainer_create(runtime_, model, s, out, e);
    };
    EXPECT_GT(sweep<gyr_trainer>("gyr_trainer_create", kSchema, of_schema, gyr_trainer_destroy), 100);
  }
}

}  // namespace
