// A small world through the public interface only: users in groups who like items of their group, and everything that a
// bundle is made of. Each variant has item ids, weights and item rows of its own, so that an answer made of two
// generations shows.
#pragma once

#include <cstdio>

#include "tests/stress/rows.h"

namespace gyr::stress {

constexpr int kVariants = 3, kGroups = 4, kUsers = 24, kItems = 40;
inline int64_t item_id(int variant, int i) { return 1000 * (variant + 1) + i; }
inline int variant_of(int64_t item) { return int(item / 1000) - 1; }

inline const char* kWorkflow = R"({"version":1,
  "inputs":[{"name":"history","dtype":"int64","list":true,"tags":["user"]},
            {"name":"item_id","dtype":"int64","tags":["item_id"]},
            {"name":"genre","dtype":"string","tags":["item"]},
            {"name":"year","dtype":"float32","tags":["item"]},
            {"name":"label","dtype":"float32","tags":["target"]}],
  "ops":[{"op":"NormalizeMinMax","columns":["year"]},
         {"op":"Categorify","columns":["item_id","history"],"joint":true},
         {"op":"Categorify","columns":["genre"]}]})";
inline const char* kRetrieval = R"({"version":1,"kind":"two_tower","item":"item_id","dim":8,"embedding_dim":8,
  "hidden":[8],"batch":64,"epochs":2,"learning_rate":0.01,"user_features":["history"],
  "item_features":["item_id","genre"],"seed":)";
inline const char* kRanking = R"({"version":1,"kind":"dlrm","label":"label","dim":4,"bottom":[8,4],"top":[8],
  "batch":64,"epochs":1,"optimizer":"adagrad","user_features":["history"],
  "item_features":["item_id","genre","year"],"seed":)";
inline const char* kKnn =
    R"({"version":1,"kind":"item_knn","item":"item_id","user":"genre","history":"history","neighbors":8})";

struct World {
  int variant;
  gyr_runtime* runtime;
  gyr_workflow* workflow = nullptr;
  gyr_model *retrieval = nullptr, *ranking = nullptr, *knn = nullptr;
  gyr_table *users = nullptr, *items = nullptr;
  gyr_index* index = nullptr;
  std::string schema;  // the workflow's

  explicit World(int v, uint32_t threads = 2) : variant(v), runtime(make_runtime(threads)) {
    Error err;
    MUST_OK(err, gyr_workflow_create(runtime, kWorkflow, &workflow, &err));
    while (gyr_workflow_fit_passes_left(workflow)) {
      ArrowArrayStream rows = interactions();
      MUST_OK(err, gyr_workflow_fit_partial(workflow, &rows, nullptr, &err));
      MUST_OK(err, gyr_workflow_fit_finish(workflow, &err));
      release(&rows);
    }
    schema = text_of(
        [&](char* b, uint64_t c, uint64_t* s, gyr_error* e) { return gyr_workflow_schema(workflow, b, c, s, e); });
    retrieval = train(seeded(kRetrieval));
    ranking = train(seeded(kRanking));
    knn = train(kKnn);
    make_tables();
    make_index();
  }
  ~World() {
    gyr_runtime_destroy(runtime);
    gyr_workflow_destroy(workflow);
    gyr_index_destroy(index);
    gyr_model_destroy(retrieval);
    gyr_model_destroy(ranking);
    gyr_model_destroy(knn);
    gyr_table_destroy(users);
    gyr_table_destroy(items);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::string seeded(const char* spec) const { return spec + std::to_string(10 + variant) + "}"; }
  std::vector<int64_t> history(int user) const {
    std::vector<int64_t> liked;
    for (int n = 0; n < 5; n++)
      liked.push_back(item_id(variant, (user * 3 + n * 7) % (kItems / kGroups) * kGroups + user % kGroups));
    return liked;
  }
  static std::string genre(int item) { return "g" + std::to_string(item % kGroups); }

  // Rows of (history, item, genre, year, label): every second one a like.
  ArrowArrayStream interactions() const {
    std::vector<std::vector<int64_t>> histories;
    std::vector<int64_t> ids;
    std::vector<std::string> genres;
    std::vector<float> years, labels;
    for (int u = 0; u < kUsers; u++)
      for (int n = 0; n < kItems / 4; n++) {
        int item = n % 2 ? (u * 7 + n * 5) % kItems : int(history(u)[size_t(n / 2)] % 1000);
        histories.push_back(history(u));
        ids.push_back(item_id(variant, item));
        genres.push_back(genre(item));
        years.push_back(float(1980 + item));
        labels.push_back(float(1 - n % 2));
      }
    // Every item once, so that all are in the vocabulary.
    for (int i = 0; i < kItems; i++) {
      histories.push_back({item_id(variant, i)});
      ids.push_back(item_id(variant, i));
      genres.push_back(genre(i));
      years.push_back(float(1980 + i));
      labels.push_back(0);
    }
    Rows rows;
    rows.lists("history", histories).ints("item_id", ids).strings("genre", genres);
    return rows.floats("year", years).floats("label", labels).stream();
  }
  ArrowArrayStream item_rows() const {
    std::vector<int64_t> ids;
    std::vector<std::string> genres;
    std::vector<float> years;
    for (int i = 0; i < kItems; i++) {
      ids.push_back(item_id(variant, i));
      genres.push_back(genre(i));
      years.push_back(float(1980 + i));
    }
    Rows rows;
    return rows.ints("item_id", ids).strings("genre", genres).floats("year", years).stream();
  }
  ArrowArrayStream user_rows() const {
    std::vector<std::vector<int64_t>> histories;
    for (int u = 0; u < kUsers; u++) histories.push_back(history(u));
    Rows rows;
    return rows.lists("history", histories).stream();
  }
  // The workflow's outputs for rows of its inputs.
  ArrowArrayStream transformed(ArrowArrayStream in) const {
    Error err;
    ArrowArrayStream out{};
    MUST_OK(err, gyr_workflow_transform(workflow, &in, &out, &err));
    return out;
  }

  gyr_model* train(const std::string& spec) const {
    Error err;
    gyr_trainer* trainer = nullptr;
    gyr_model* model = nullptr;
    ArrowArrayStream rows = transformed(interactions());
    MUST_OK(err, gyr_trainer_create(runtime, spec.c_str(), schema.c_str(), &trainer, &err));
    MUST_OK(err, gyr_trainer_fit(trainer, &rows, nullptr, &err));
    MUST_OK(err, gyr_trainer_export(trainer, &model, &err));
    release(&rows);
    gyr_trainer_destroy(trainer);
    return model;
  }

  // Item rows say their variant; the pipeline drops rows that say another.
  void save(const std::string& path) const {
    std::string pipeline = R"({"version":1,"stages":[
      {"stage":"features","side":"user","table":"users"},
      {"stage":"encode","workflow":"features","model":"retrieval"},
      {"stage":"retrieve","index":"catalogue","k":20},
      {"stage":"features","side":"item","table":"items","columns":["genre","year","variant"]},
      {"stage":"filter","expr":"variant == )" +
                           std::to_string(variant) + R"("},
      {"stage":"encode","side":"item","workflow":"features"},
      {"stage":"score","model":"ranking"},
      {"stage":"order","k":10,"by":"score","method":"greedy"}]})";
    Error err;
    gyr_bundle_builder* b = nullptr;
    MUST_OK(err, gyr_bundle_builder_create(runtime, &b, &err));
    MUST_OK(err, gyr_bundle_builder_add_workflow(b, "features", workflow, &err));
    MUST_OK(err, gyr_bundle_builder_add_table(b, "users", users, &err));
    MUST_OK(err, gyr_bundle_builder_add_table(b, "items", items, &err));
    MUST_OK(err, gyr_bundle_builder_add_index(b, "catalogue", index, &err));
    MUST_OK(err, gyr_bundle_builder_add_model(b, "retrieval", retrieval, &err));
    MUST_OK(err, gyr_bundle_builder_add_model(b, "ranking", ranking, &err));
    MUST_OK(err, gyr_bundle_builder_set_pipeline(b, pipeline.c_str(), &err));
    MUST_OK(err, gyr_bundle_builder_save(b, path.c_str(), &err));
    gyr_bundle_builder_destroy(b);
  }

 private:
  void make_tables() {
    Error err;
    MUST_OK(err, gyr_table_create(runtime, R"({"name":"users","key":"user_id","event_time":"at","columns":[
      {"name":"history","dtype":"int64","list":true},{"name":"note","dtype":"int64"}]})",
                                  &users, &err));
    MUST_OK(err, gyr_table_create(runtime, R"({"name":"items","key":"item_id","columns":[
      {"name":"genre","dtype":"string"},{"name":"year","dtype":"float32"},{"name":"variant","dtype":"int64"}]})",
                                  &items, &err));
    std::vector<int64_t> user_ids, item_ids, ats(kUsers, 1), mine(kItems, variant), notes(kUsers, 0);
    std::vector<std::vector<int64_t>> histories;
    std::vector<std::string> genres;
    std::vector<float> years;
    for (int u = 0; u < kUsers; u++) user_ids.push_back(u), histories.push_back(history(u));
    for (int i = 0; i < kItems; i++)
      item_ids.push_back(item_id(variant, i)), genres.push_back(genre(i)), years.push_back(float(1980 + i));
    Rows user, item;
    user.ints("user_id", user_ids).ints("at", ats, "tsu:UTC").lists("history", histories).ints("note", notes);
    item.ints("item_id", item_ids).strings("genre", genres).floats("year", years).ints("variant", mine);
    ArrowArrayStream a = user.stream(), b = item.stream();
    MUST_OK(err, gyr_table_upsert(users, &a, nullptr, nullptr, &err));
    MUST_OK(err, gyr_table_upsert(items, &b, nullptr, nullptr, &err));
    release(&a);
    release(&b);
  }
  void make_index() {
    Error err;
    gyr_index_options o{};
    o.struct_size = sizeof o;
    o.dim = 8;
    o.degree = 4;
    MUST_OK(err, gyr_index_create(runtime, &o, &index, &err));
    std::vector<float> vectors(kItems * 8);
    std::vector<int64_t> ids;
    for (int i = 0; i < kItems; i++) ids.push_back(item_id(variant, i));
    ArrowArrayStream rows = transformed(item_rows());
    uint64_t n = 0;
    MUST_OK(err, gyr_model_encode(retrieval, GYR_SIDE_ITEM, &rows, vectors.data(), kItems, &n, &err));
    release(&rows);
    MUST_OK(err, gyr_index_upsert(index, ids.data(), vectors.data(), n, nullptr, &err));
  }
};

}  // namespace gyr::stress
