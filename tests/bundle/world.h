// A small planted world: users and items in groups, users like items of their group. Everything a bundle needs.
#pragma once

#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "capi/handles.h"
#include "index/index.h"
#include "model/model.h"
#include "pipeline/components.h"
#include "table/table.h"
#include "workflow/workflow.h"

namespace gyr::test {

inline void ok(const Status& s) { ASSERT_TRUE(s.ok()) << s.message(); }
template <class T>
T take(Result<T> r) {
  EXPECT_TRUE(r.ok()) << r.status().message();
  return std::move(*r);
}

constexpr int kGroups = 4, kUsers = 120, kItems = 200;
inline int64_t user_id(int u) { return 1000 + u; }
inline int64_t item_id(int i) { return 50000 + i; }
inline int group_of_item(int64_t id) { return int(id - 50000) % kGroups; }

inline const char* kWorkflow = R"({"version":1,
  "inputs":[{"name":"age","dtype":"float32","tags":["user"]},
            {"name":"history","dtype":"int64","list":true,"tags":["user"]},
            {"name":"item_id","dtype":"int64","tags":["item_id"]},
            {"name":"genre","dtype":"string","tags":["item"]},
            {"name":"year","dtype":"float32","tags":["item"]}],
  "ops":[{"op":"FillMissing","columns":["age","year"],"value":0},
         {"op":"NormalizeMinMax","columns":["age","year"]},
         {"op":"Categorify","columns":["item_id","history"],"joint":true},
         {"op":"Categorify","columns":["genre"]}]})";
inline const char* kRetrieval = R"({"version":1,"kind":"two_tower","item":"item_id","dim":16,"embedding_dim":16,
  "hidden":[16],"batch":128,"epochs":6,"learning_rate":0.01,"user_features":["history","age"],
  "item_features":["item_id","genre"],"seed":5})";
inline const char* kRanking = R"({"version":1,"kind":"dlrm","label":"label","dim":8,"bottom":[16,8],"top":[16],
  "batch":256,"epochs":3,"optimizer":"adagrad","user_features":["history","age"],
  "item_features":["item_id","genre","year"],"context_features":["retrieval_score"],"seed":6})";
inline const char* kPipeline = R"({"version":1,"context":[{"name":"oldest","dtype":"float32"}],"stages":[
  {"stage":"features","side":"user","table":"users"},
  {"stage":"encode","workflow":"features","model":"retrieval"},
  {"stage":"retrieve","index":"items_index","k":60},
  {"stage":"filter","seen":"seen"},
  {"stage":"features","side":"item","table":"items","columns":["genre","year"]},
  {"stage":"filter","expr":"oldest is null or year >= oldest"},
  {"stage":"encode","side":"item","workflow":"features"},
  {"stage":"score","model":"ranking"},
  {"stage":"order","k":10,"by":"score","method":"greedy"}]})";

class World {
 public:
  std::shared_ptr<Runtime> runtime;
  Components components;
  std::vector<std::vector<int64_t>> seen = std::vector<std::vector<int64_t>>(kUsers);

  // `salt` changes the models' seeds, so that two worlds answer with different scores.
  explicit World(uint64_t salt = 0) {
    gyr_runtime_options options{};
    options.struct_size = sizeof options;
    options.threads = 1;
    runtime = take(Runtime::create(options));
    draw(salt);
    fit();
    make_tables(salt);
    make_index();
  }

  void save(const std::string& path, const char* pipeline = kPipeline) {
    gyr_runtime rt;
    rt.runtime = runtime;
    gyr_error err = GYR_ERROR_INIT;
    gyr_bundle_builder* b = nullptr;
    ASSERT_EQ(gyr_bundle_builder_create(&rt, &b, &err), GYR_OK) << err.message;
    auto w = wrap<gyr_workflow>(std::const_pointer_cast<Workflow>(components.workflows["features"]));
    auto users = wrap<gyr_table>(components.tables["users"]);
    auto items = wrap<gyr_table>(components.tables["items"]);
    auto index = wrap<gyr_index>(components.indexes["items_index"]);
    auto retrieval = wrap<gyr_model>(components.models["retrieval"]);
    auto ranking = wrap<gyr_model>(components.models["ranking"]);
    EXPECT_EQ(gyr_bundle_builder_add_workflow(b, "features", &w, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_add_table(b, "users", &users, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_add_table(b, "items", &items, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_add_index(b, "items_index", &index, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_add_model(b, "retrieval", &retrieval, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_add_model(b, "ranking", &ranking, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_add_model(b, "ranking", &ranking, &err), GYR_E_ALREADY_EXISTS);
    EXPECT_EQ(gyr_bundle_builder_set_metadata(b, "{\"made by\":\"test\"}", &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_set_pipeline(b, pipeline, &err), GYR_OK) << err.message;
    EXPECT_EQ(gyr_bundle_builder_save(b, path.c_str(), &err), GYR_OK) << err.message;
    gyr_bundle_builder_destroy(b);
  }

 private:
  template <class H, class T>
  H wrap(std::shared_ptr<T> impl) {
    H h;
    h.runtime = runtime;
    h.impl = std::move(impl);
    return h;
  }

  void draw(uint64_t salt) {
    Random random(17);
    for (int u = 0; u < kUsers; u++)
      for (int n = 0; n < 12; n++)
        seen[size_t(u)].push_back(item_id(int(random.below(kItems / kGroups)) * kGroups + u % kGroups));
    salt_ = salt;
  }

  static std::string genre(int i) { return "g" + std::to_string(i % kGroups); }
  static float age(int u) { return float(20 + u % kGroups * 10); }
  static float year(int i) { return float(1980 + i % 30); }

  // One row per (user, liked item) with the rest of the likes as history; with `negatives`, as many unliked rows.
  Batch rows(bool negatives) {
    Batch b;
    for (auto [name, type, list] : {std::tuple{"age", GYR_DTYPE_FLOAT32, false},
                                    {"history", GYR_DTYPE_INT64, true},
                                    {"item_id", GYR_DTYPE_INT64, false},
                                    {"genre", GYR_DTYPE_STRING, false},
                                    {"year", GYR_DTYPE_FLOAT32, false}})
      b.add(name, type, list);
    if (negatives) b.add("label", GYR_DTYPE_FLOAT32, false);
    Random random(23);
    for (int u = 0; u < kUsers; u++)
      for (int64_t liked : seen[size_t(u)])
        for (int negative = 0; negative <= int(negatives); negative++) {
          int i = negative ? int(random.below(kItems)) : int(liked - item_id(0));
          b.columns[0].push_float(age(u));
          for (int64_t h : seen[size_t(u)])
            if (h != liked) b.columns[1].push_int(h);
          b.columns[1].end_list();
          b.columns[2].push_int(item_id(i));
          b.columns[3].push_string(genre(i));
          b.columns[4].push_float(year(i));
          if (negatives) b.columns[5].push_float(negative ? 0 : 1);
          b.rows++;
        }
    return b;
  }

  static std::vector<ColumnSchema> schemas(const Batch& b) {
    std::vector<ColumnSchema> out;
    for (size_t i = 0; i < b.columns.size(); i++) {
      ColumnSchema s;
      s.name = b.names[i];
      s.dtype = b.columns[i].dtype;
      s.is_list = b.columns[i].is_list;
      out.push_back(s);
    }
    return out;
  }

  Batch transform(const Workflow& w, const Batch& in) {
    auto plan = take(w.plan(schemas(in), {}));
    auto scratch = w.make_scratch();
    Batch out;
    ok(w.run(*plan, in, scratch.get(), &out, nullptr));
    out.names = plan->output_names();
    return out;
  }

  std::shared_ptr<const Model> train(const char* spec, const Workflow& w, const Batch& rows) {
    std::string text = spec;
    if (salt_) text.replace(text.find("\"seed\":"), 7, "\"seed\":1");
    auto trainer = take(Trainer::create(runtime, text, w.describe().dump()));
    ok(trainer->add_rows(rows));
    ok(trainer->fit(nullptr));
    return take(trainer->export_model());
  }

  void fit() {
    auto w = take(Workflow::create(runtime, kWorkflow));
    Batch raw = rows(false);
    while (w->passes_left()) {
      ok(w->fit_batch(raw));
      ok(w->fit_finish());
    }
    components.workflows["features"] = w;
    components.models["retrieval"] = train(kRetrieval, *w, transform(*w, raw));
    Batch labelled = rows(true);
    Batch encoded = transform(*w, labelled);
    encoded.names.push_back("label");
    encoded.columns.push_back(labelled.columns[5]);
    Column& score = encoded.add("retrieval_score", GYR_DTYPE_FLOAT32, false);
    auto scratch = components.models["retrieval"]->make_scratch();
    std::vector<float> predicted(size_t(encoded.rows));
    ok(components.models["retrieval"]->predict(encoded, scratch.get(), predicted.data()));
    for (float p : predicted) score.push_float(p);
    components.models["ranking"] = train(kRanking, *w, encoded);
  }

  void make_tables(uint64_t salt) {
    auto users = take(Table::create(runtime, R"({"name":"users","key":"user_id","key_dtype":"int64","event_time":"at",
      "ttl_seconds":0,"columns":[{"name":"age","dtype":"float32"},{"name":"history","dtype":"int64","list":true},
      {"name":"seen","dtype":"int64","list":true}]})"));
    auto items = take(Table::create(runtime, R"({"name":"items","key":"item_id","key_dtype":"int64",
      "columns":[{"name":"genre","dtype":"string"},{"name":"year","dtype":"float32"},
      {"name":"world","dtype":"int64"}]})"));
    Batch ub;
    ub.add("user_id", GYR_DTYPE_INT64, false);
    ub.add("at", GYR_DTYPE_TIMESTAMP, false);
    ub.add("age", GYR_DTYPE_FLOAT32, false);
    ub.add("history", GYR_DTYPE_INT64, true);
    ub.add("seen", GYR_DTYPE_INT64, true);
    for (int u = 0; u < kUsers; u++) {
      ub.columns[0].push_int(user_id(u));
      ub.columns[1].push_int(1'000'000);
      ub.columns[2].push_float(age(u));
      for (size_t c : {3, 4}) {
        for (int64_t i : seen[size_t(u)]) ub.columns[c].push_int(i);
        ub.columns[c].end_list();
      }
      ub.rows++;
    }
    Batch ib;
    ib.add("item_id", GYR_DTYPE_INT64, false);
    ib.add("genre", GYR_DTYPE_STRING, false);
    ib.add("year", GYR_DTYPE_FLOAT32, false);
    ib.add("world", GYR_DTYPE_INT64, false);
    for (int i = 0; i < kItems; i++) {
      ib.columns[0].push_int(item_id(i));
      ib.columns[1].push_string(genre(i));
      ib.columns[2].push_float(year(i));
      ib.columns[3].push_int(int64_t(salt));
      ib.rows++;
    }
    Table::UpsertStats stats;
    ok(users->upsert(ub, &stats));
    ok(items->upsert(ib, &stats));
    components.tables["users"] = users;
    components.tables["items"] = items;
    item_rows_ = std::move(ib);
  }

  void make_index() {
    const Workflow& w = *components.workflows["features"];
    const Model& m = *components.models["retrieval"];
    item_rows_.names.pop_back();
    item_rows_.columns.pop_back();
    Batch encoded = transform(w, item_rows_);
    std::vector<const Column*> columns;
    for (const std::string& name : m.encode_inputs(GYR_SIDE_ITEM).names)
      columns.push_back(&encoded.columns[size_t(encoded.find(name))]);
    std::vector<float> vectors(size_t(kItems) * m.dim());
    auto scratch = m.make_scratch();
    ok(m.encode(GYR_SIDE_ITEM, columns, kItems, scratch.get(), vectors.data()));
    gyr_index_options options{};
    options.struct_size = sizeof options;
    options.dim = m.dim();
    auto index = take(Index::create(runtime, options));
    ok(index->upsert(item_rows_.columns[0].ints.data(), vectors.data(), kItems, nullptr));
    components.indexes["items_index"] = index;
  }

  uint64_t salt_ = 0;
  Batch item_rows_;
};

// Built once per process: training takes a moment.
inline World& world(uint64_t salt = 0) {
  static std::unique_ptr<World> worlds[2];
  if (!worlds[salt]) worlds[salt] = std::make_unique<World>(salt);
  return *worlds[salt];
}

inline std::string temp_path(const std::string& name) {
  return ::testing::TempDir() + "gyr_" + std::to_string(getpid()) + "_" + name;
}

// A bundle opened through the C interface.
class Served {
 public:
  gyr_bundle* bundle = nullptr;
  std::string path;

  explicit Served(uint64_t salt = 0, const char* pipeline = kPipeline) : path(temp_path("served.gyr")) {
    world(salt).save(path, pipeline);
    gyr_runtime rt;
    rt.runtime = world(salt).runtime;
    gyr_error err = GYR_ERROR_INIT;
    EXPECT_EQ(gyr_bundle_open(&rt, path.c_str(), &bundle, &err), GYR_OK) << err.message;
  }
  ~Served() {
    gyr_bundle_destroy(bundle);
    unlink(path.c_str());
  }
};

// One call's arguments and results for int64 catalogues.
struct Answer {
  std::vector<int64_t> users, ids;
  std::vector<float> scores, stage_scores;
  std::vector<uint32_t> counts;
  std::vector<uint8_t> status;
  gyr_keys keys{};
  gyr_recommend_args args{};

  explicit Answer(std::vector<int64_t> who, uint32_t k = 10)
      : users(std::move(who)),
        ids(users.size() * k),
        scores(users.size() * k),
        stage_scores(users.size() * k * 2),
        counts(users.size()),
        status(users.size()) {
    keys = {sizeof keys, GYR_DTYPE_INT64, users.size(), users.data(), nullptr};
    args.struct_size = sizeof args;
    args.k = k;
    args.users = &keys;
    args.out_ids = ids.data();
    args.out_scores = scores.data();
    args.out_stage_scores = stage_scores.data();
    args.out_counts = counts.data();
    args.out_user_status = status.data();
  }
  Answer(const Answer&) = delete;
};

}  // namespace gyr::test
