// Writes the golden files of this library's format version into a new folder (tests/golden/<major>.<minor>), through
// the public interface, from fixed data and seeds. It never touches a set that exists: a written set is what old
// libraries wrote, and stays. docs/format.md says when a new one is made.
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/golden/answers.h"
#include "tests/support/full_graph.h"

namespace gyr::golden {
namespace {

constexpr int kUsers = 6, kItems = 10;

std::string item(int i) { return "item" + std::to_string(i); }
std::string genre(int i) { return i % 2 ? "noir" : "space"; }
// Users like the items of their own half; the first three are their history.
int liked(int user, int n) { return user % 2 + 2 * ((user + n) % (kItems / 2)); }

const char* const kServingGraph = R"({"version":1,
  "inputs":[{"name":"user_id","dtype":"int64","tags":["user_id"]},
            {"name":"age","dtype":"float32","tags":["user"]},
            {"name":"history","dtype":"string","list":true,"tags":["user"]},
            {"name":"item_id","dtype":"string","tags":["item_id"]},
            {"name":"genre","dtype":"string","tags":["item"]},
            {"name":"year","dtype":"float32","tags":["item"]},
            {"name":"label","dtype":"float32","tags":["target"]}],
  "ops":[{"op":"FillMissing","columns":["age","year"],"value":0},
         {"op":"NormalizeMinMax","columns":["age","year"]},
         {"op":"Categorify","columns":["user_id"]},
         {"op":"Categorify","columns":["item_id","history"],"joint":true},
         {"op":"Categorify","columns":["genre"]}]})";
const char* const kTableSchema = R"({"name":"t","key":"id","key_dtype":"string","event_time":"at","ttl_seconds":3600,
  "columns":[{"name":"flag","dtype":"bool"},{"name":"small","dtype":"int8"},{"name":"big","dtype":"int64"},
             {"name":"ratio","dtype":"float32"},{"name":"exact","dtype":"float64"},{"name":"name","dtype":"string"},
             {"name":"seen","dtype":"int64","list":true},{"name":"words","dtype":"string","list":true}]})";
const char* const kPastSchema = R"({"name":"p","key":"id","event_time":"ts","created_time":"known",
  "history":{"versions":4},"columns":[{"name":"a","dtype":"int64"},{"name":"s","dtype":"string"},
  {"name":"v","dtype":"float32"}],"views":[{"name":"w","event_time":"wts","columns":["v"]}]})";
const char* const kPipeline = R"({"version":1,"context":[{"name":"oldest","dtype":"float32"}],"stages":[
  {"stage":"features","side":"user","table":"users"},
  {"stage":"encode","workflow":"features","model":"retrieval"},
  {"stage":"retrieve","index":"item_index","k":8,"ids":"item_ids"},
  {"stage":"filter","seen":"history"},
  {"stage":"features","side":"item","table":"items","columns":["genre","year"]},
  {"stage":"filter","expr":"oldest is null or year >= oldest"},
  {"stage":"encode","side":"item","workflow":"features"},
  {"stage":"score","model":"ranking"},
  {"stage":"order","k":4,"by":"score","method":"greedy"}]})";
const char* const kTwoTower = R"({"version":1,"kind":"two_tower","item":"item_id","dim":4,"embedding_dim":4,
  "hidden":[6],"batch":10,"epochs":3,"learning_rate":0.02,"item_bias":false,"user_features":["history","age"],
  "item_features":["item_id","genre"],"seed":5})";
const char* const kDlrm = R"({"version":1,"kind":"dlrm","label":"label","dim":4,"bottom":[6,4],"top":[6],
  "batch":10,"epochs":3,"optimizer":"adagrad","user_features":["history","age"],
  "item_features":["item_id","genre","year"],"seed":6})";
const char* const kIals = R"({"version":1,"kind":"ials","item":"item_id","user":"user_id","history":"history",
  "dim":4,"epochs":3,"seed":7})";
const char* const kKnn = R"({"version":1,"kind":"item_knn","item":"item_id","user":"user_id","history":"history",
  "neighbors":4,"shrink":1})";
const char* const kPopularity = R"({"version":1,"kind":"popularity","item":"item_id",
  "recency":{"half_life_events":50}})";

class Maker {
 public:
  explicit Maker(std::string folder) : folder_(std::move(folder)) {
    gyr_runtime_options options{};
    options.struct_size = sizeof options;
    options.threads = 1;
    need(gyr_runtime_create(&options, &runtime_, &err_), err_, "runtime");
  }
  ~Maker() { gyr_runtime_destroy(runtime_); }

  void make_stores() {
    past();
    cache("cache_float32.gyr", GYR_CACHE_FLOAT32);
    cache("cache_int8.gyr", GYR_CACHE_INT8);
    std::filesystem::create_directory(path("live"));
    make_live(runtime_, path("live"));
    std::filesystem::create_directory(path("cache_rows"));
    make_cache_folder(runtime_, path("cache_rows"));
  }
  void make_indexes() {
    for (int i = 0; i < kIndexes; i++)
      index(kIndexNames[i], gyr_index_kind(i % 3 + 1), gyr_metric(i % 2 ? GYR_METRIC_L2 : GYR_METRIC_IP), 70, i % 5 + 1,
            0.0137f);  // no two alike
  }
  void make() {
    make_stores();
    make_indexes();
    full_workflow();
    table();
    index("index_exact.gyr", GYR_INDEX_EXACT, GYR_METRIC_COSINE, 9);
    index("index_graph.gyr", GYR_INDEX_GRAPH, GYR_METRIC_IP, 40);
    bundle();
  }

 private:
  std::string path(const char* name) const { return folder_ + "/" + name; }

  gyr_workflow* fitted(const char* graph, const std::function<Rows()>& rows) {
    gyr_workflow* w = nullptr;
    need(gyr_workflow_create(runtime_, graph, &w, &err_), err_, "workflow");
    while (gyr_workflow_fit_passes_left(w)) {
      ArrowArrayStream s = rows().stream();
      need(gyr_workflow_fit_partial(w, &s, nullptr, &err_), err_, "fit");
      need(gyr_workflow_fit_finish(w, &err_), err_, "fit");
    }
    return w;
  }

  void full_workflow() {
    gyr_workflow* w = fitted(test::kFullGraph, full_rows);
    need(gyr_workflow_save(w, path("workflow.gyr").c_str(), &err_), err_, "save");
    gyr_workflow_destroy(w);
  }

  void table() {
    gyr_table* t = nullptr;
    need(gyr_table_create(runtime_, kTableSchema, &t, &err_), err_, "table");
    Rows rows;
    rows.strings("id", {"ann", "bo", "cy"}).ints("at", {1000000, 2000000, 3000000}, "tsu:UTC");
    rows.ints("small", {-5, 0, 127}).ints("big", {INT64_MIN, 0, INT64_MAX}).floats("ratio", {0.5f, -1.25f, 3e30f});
    rows.strings("name", {"", "Bo\xc3\xabl", "cy"}).lists("seen", {{}, {7}, {1, 2, 3}});
    rows.string_lists("words", {{"a", ""}, {}, {"long enough to leave a short string"}});
    ArrowArrayStream s = rows.stream();
    need(gyr_table_upsert(t, &s, nullptr, nullptr, &err_), err_, "upsert");
    // The columns left out are null, and a fourth row holds a null list.
    gyr_str id{"dee", 3};
    gyr_keys key{sizeof key, GYR_DTYPE_STRING, 1, nullptr, &id};
    const char* columns[] = {"flag", "exact", "seen"};
    gyr_value values[3]{};
    values[0].dtype = GYR_DTYPE_BOOL, values[0].i = 1;
    values[1].dtype = GYR_DTYPE_FLOAT64, values[1].f = 0.1;
    need(gyr_table_upsert_row(t, &key, 4000000, columns, values, 3, nullptr, &err_), err_, "upsert");
    need(gyr_table_save(t, path("table.gyr").c_str(), &err_), err_, "save");
    gyr_table_destroy(t);
  }

  void past() {
    gyr_table* t = nullptr;
    need(gyr_table_create(runtime_, kPastSchema, &t, &err_), err_, "table");
    auto upsert = [&](Rows rows) {
      ArrowArrayStream s = rows.stream();
      need(gyr_table_upsert(t, &s, nullptr, nullptr, &err_), err_, "upsert");
    };
    Rows first, late, view;
    first.ints("id", {1, 2, 1}).ints("ts", {10, 20, 30}, "tsu:").ints("known", {11, 25, 33}, "tsu:");
    upsert(std::move(first.ints("a", {100, 200, 101}).strings("s", {"one", "", "two"})));
    late.ints("id", {1}).ints("ts", {20}, "tsu:").ints("known", {50}, "tsu:");
    upsert(std::move(late.ints("a", {150})));
    view.ints("id", {2, 3}).ints("wts", {15, 40}, "tsu:").ints("known", {16, 41}, "tsu:");
    upsert(std::move(view.floats("v", {0.5f, -2})));
    need(gyr_table_save(t, path("past.gyr").c_str(), &err_), err_, "save");
    gyr_table_destroy(t);
  }

  void cache(const char* name, gyr_cache_rows rows) {
    const float standard[] = {9, 8, 7};
    gyr_cache_options o{};
    o.struct_size = sizeof o;
    o.dim = 3;
    o.rows = rows;
    o.miss = GYR_CACHE_MISS_DEFAULT;
    o.default_row = standard;
    gyr_cache* c = nullptr;
    need(gyr_cache_create(runtime_, &o, &c, &err_), err_, "cache");
    const int64_t keys[] = {1, 2, -5, 4}, gone[] = {2};
    const float values[] = {1, 2, 3, 0, 0, 0, -1.5f, 0.25f, 3, 7, 7, 7};
    gyr_cache_delta d{};
    d.struct_size = sizeof d;
    d.source = "stream", d.offset = 12;
    d.keys = keys, d.rows = values, d.n = 4, d.removed = gone, d.n_removed = 1;
    need(gyr_cache_apply(c, &d, nullptr, &err_), err_, "apply");
    need(gyr_cache_save(c, path(name).c_str(), &err_), err_, name);
    gyr_cache_destroy(c);
  }

  void index(const char* name, gyr_index_kind kind, gyr_metric metric, int n, gyr_stored stored = GYR_STORED_FP32,
             float spread = 0) {
    gyr_index_options o{};
    o.struct_size = sizeof o;
    o.dim = 3;
    o.metric = metric;
    o.kind = kind;
    o.degree = 4;
    o.build_effort = 16;
    o.stored = stored;
    gyr_index* index = nullptr;
    need(gyr_index_create(runtime_, &o, &index, &err_), err_, "index");
    std::vector<int64_t> ids;
    std::vector<float> vectors;
    for (int i = 0; i < n; i++) {
      ids.push_back(100 + i);
      for (int d = 0; d < 3; d++) vectors.push_back(vector_value(i, d) + spread * float(i * (d + 1)));
    }
    need(gyr_index_upsert(index, ids.data(), vectors.data(), uint64_t(n), nullptr, &err_), err_, "upsert");
    need(gyr_index_delete(index, ids.data() + 2, 1, nullptr, &err_), err_, "delete");
    need(gyr_index_save(index, path(name).c_str(), &err_), err_, "save");
    gyr_index_destroy(index);
  }

  static Rows interactions() {
    std::vector<int64_t> users;
    std::vector<float> ages, years, labels;
    std::vector<std::vector<std::string>> histories;
    std::vector<std::string> items, genres;
    for (int u = 0; u < kUsers; u++)
      for (int n = 0; n < 10; n++) {
        if ((u * 7 + n * 3) % 5 == 0) continue;  // without symmetry, no scores are equal but for the last bits
        int i = n < 5 ? liked(u, n) : 2 * (n - 5) + 1 - u % 2;
        users.push_back(u);
        ages.push_back(age(u));
        histories.push_back(history(u));
        items.push_back(item(i));
        genres.push_back(genre(i));
        years.push_back(year(i));
        labels.push_back(n < 5);
      }
    Rows r;
    r.ints("user_id", users).floats("age", ages).string_lists("history", histories).strings("item_id", items);
    r.strings("genre", genres).floats("year", years).floats("label", labels);
    return r;
  }
  static float age(int u) { return float(20 + u % 2 * 30 + u); }
  static float year(int i) { return float(1980 + 3 * i); }
  static std::vector<std::string> history(int u) { return {item(liked(u, 0)), item(liked(u, 1)), item(liked(u, 2))}; }

  gyr_model* trained(const char* spec, const gyr_workflow* w, const char* file) {
    std::string schema =
        text([&](char* b, uint64_t n, uint64_t* s, gyr_error* e) { return gyr_workflow_schema(w, b, n, s, e); });
    gyr_trainer* trainer = nullptr;
    need(gyr_trainer_create(runtime_, spec, schema.c_str(), &trainer, &err_), err_, spec);
    ArrowArrayStream raw = interactions().stream(), encoded{};
    need(gyr_workflow_transform(w, &raw, &encoded, &err_), err_, "transform");
    need(gyr_trainer_fit(trainer, &encoded, nullptr, &err_), err_, spec);
    gyr_model* model = nullptr;
    need(gyr_trainer_export(trainer, &model, &err_), err_, spec);
    gyr_trainer_destroy(trainer);
    need(gyr_model_save(model, path(file).c_str(), &err_), err_, file);
    return model;
  }

  gyr_table* filled(const char* schema, Rows rows) {
    gyr_table* t = nullptr;
    need(gyr_table_create(runtime_, schema, &t, &err_), err_, schema);
    ArrowArrayStream s = rows.stream();
    need(gyr_table_upsert(t, &s, nullptr, nullptr, &err_), err_, "upsert");
    return t;
  }

  gyr_table* users() {
    std::vector<int64_t> ids;
    std::vector<float> ages;
    std::vector<std::vector<std::string>> histories;
    for (int u = 0; u < kUsers; u++) ids.push_back(u), ages.push_back(age(u)), histories.push_back(history(u));
    Rows r;
    r.ints("user_id", ids).ints("at", std::vector<int64_t>(kUsers, 1000000), "tsu:UTC").floats("age", ages);
    r.string_lists("history", histories);
    return filled(R"({"name":"users","key":"user_id","event_time":"at","columns":[{"name":"age","dtype":"float32"},
      {"name":"history","dtype":"string","list":true}]})",
                  std::move(r));
  }

  static std::vector<std::string> item_ids() {
    std::vector<std::string> ids;
    for (int i = 0; i < kItems; i++) ids.push_back(item(i));
    return ids;
  }
  static Rows item_rows() {
    std::vector<std::string> genres;
    std::vector<float> years;
    for (int i = 0; i < kItems; i++) genres.push_back(genre(i)), years.push_back(year(i));
    Rows r;
    r.strings("item_id", item_ids()).strings("genre", genres).floats("year", years);
    return r;
  }

  gyr_index* item_index(const gyr_workflow* w, const gyr_model* model) {
    ArrowArrayStream raw = item_rows().stream(), encoded{};
    need(gyr_workflow_transform(w, &raw, &encoded, &err_), err_, "transform");
    std::vector<float> vectors(kItems * 4);
    uint64_t rows = 0;
    need(gyr_model_encode(model, GYR_SIDE_ITEM, &encoded, vectors.data(), kItems, &rows, &err_), err_, "encode");
    gyr_index_options o{};
    o.struct_size = sizeof o;
    o.dim = 4;
    o.degree = 4;
    gyr_index* index = nullptr;
    need(gyr_index_create(runtime_, &o, &index, &err_), err_, "index");
    std::vector<int64_t> labels;
    for (int i = 0; i < kItems; i++) labels.push_back(i);
    need(gyr_index_upsert(index, labels.data(), vectors.data(), kItems, nullptr, &err_), err_, "upsert");
    return index;
  }

  void bundle() {
    gyr_workflow* w = fitted(kServingGraph, interactions);
    gyr_model* retrieval = trained(kTwoTower, w, "model_two_tower.gyr");
    gyr_model* ranking = trained(kDlrm, w, "model_dlrm.gyr");
    gyr_model_destroy(trained(kIals, w, "model_ials.gyr"));
    gyr_model_destroy(trained(kKnn, w, "model_item_knn.gyr"));
    gyr_model_destroy(trained(kPopularity, w, "model_popularity.gyr"));
    gyr_table* user_table = users();
    gyr_table* item_table = filled(R"({"name":"items","key":"item_id","key_dtype":"string",
      "columns":[{"name":"genre","dtype":"string"},{"name":"year","dtype":"float32"}]})",
                                   item_rows());
    gyr_index* index = item_index(w, retrieval);
    gyr_bundle_builder* b = nullptr;
    need(gyr_bundle_builder_create(runtime_, &b, &err_), err_, "builder");
    std::vector<std::string> names = item_ids();
    std::vector<gyr_str> ids;
    for (auto& s : names) ids.push_back({s.data(), s.size()});
    need(gyr_bundle_builder_add_workflow(b, "features", w, &err_), err_, "add");
    need(gyr_bundle_builder_add_table(b, "users", user_table, &err_), err_, "add");
    need(gyr_bundle_builder_add_table(b, "items", item_table, &err_), err_, "add");
    need(gyr_bundle_builder_add_index(b, "item_index", index, &err_), err_, "add");
    need(gyr_bundle_builder_add_model(b, "retrieval", retrieval, &err_), err_, "add");
    need(gyr_bundle_builder_add_model(b, "ranking", ranking, &err_), err_, "add");
    need(gyr_bundle_builder_add_ids(b, "item_ids", ids.data(), ids.size(), &err_), err_, "add");
    need(gyr_bundle_builder_set_pipeline(b, kPipeline, &err_), err_, "pipeline");
    need(gyr_bundle_builder_set_metadata(b, R"({"what":"golden"})", &err_), err_, "metadata");
    need(gyr_bundle_builder_save(b, path("bundle.gyr").c_str(), &err_), err_, "save");
    gyr_bundle_builder_destroy(b);
    gyr_index_destroy(index);
    gyr_table_destroy(user_table);
    gyr_table_destroy(item_table);
    gyr_model_destroy(retrieval);
    gyr_model_destroy(ranking);
    gyr_workflow_destroy(w);
  }

  std::string folder_;
  gyr_runtime* runtime_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
};

}  // namespace
}  // namespace gyr::golden

int main(int argc, char** argv) {
  const std::string part = argc == 3 ? argv[2] : "";
  if (argc != 2 && part != "stores" && part != "indexes") {
    std::fprintf(stderr, "usage: make_golden NEW_FOLDER [stores|indexes] (tests/golden/<format major>.<minor>)\n");
    return 2;
  }
  std::string folder = argv[1];
  if (std::filesystem::exists(folder)) {
    std::fprintf(stderr, "%s exists: golden files are written once and kept as they are\n", folder.c_str());
    return 1;
  }
  std::filesystem::create_directories(folder);
  gyr::golden::Maker maker(folder);
  part == "stores" ? maker.make_stores() : part == "indexes" ? maker.make_indexes() : maker.make();
  std::ofstream(folder + "/expected.txt") << gyr::golden::answers(folder);
  return 0;
}
