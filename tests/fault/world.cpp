#include "tests/fault/world.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>

namespace gyr::test {

const char* const kGraph = R"({"version":1,
  "inputs":[{"name":"user_id","dtype":"int64","tags":["user_id"]},
            {"name":"age","dtype":"float32","tags":["user"]},
            {"name":"history","dtype":"int64","list":true,"tags":["user"]},
            {"name":"item_id","dtype":"int64","tags":["item_id"]},
            {"name":"genre","dtype":"string","tags":["item"]},
            {"name":"year","dtype":"float32","tags":["item"]},
            {"name":"label","dtype":"float32","tags":["target"]}],
  "ops":[{"op":"FillMissing","columns":["age","year"],"value":0},
         {"op":"NormalizeMinMax","columns":["age"]},
         {"op":"Normalize","columns":["year"]},
         {"op":"Categorify","columns":["user_id"],"as":["user"]},
         {"op":"Categorify","columns":["item_id","history"],"joint":true},
         {"op":"Categorify","columns":["genre"]}]})";
const char* const kUserTable = R"({"name":"users","key":"user_id","key_dtype":"int64","event_time":"at",
  "columns":[{"name":"age","dtype":"float32"},{"name":"history","dtype":"int64","list":true},
             {"name":"seen","dtype":"int64","list":true}]})";
const char* const kItemTable = R"({"name":"items","key":"item_id","key_dtype":"int64",
  "columns":[{"name":"genre","dtype":"string"},{"name":"year","dtype":"float32"}]})";
const char* const kPipeline = R"({"version":1,"context":[{"name":"oldest","dtype":"float32"}],"stages":[
  {"stage":"features","side":"user","table":"users"},
  {"stage":"encode","workflow":"features","model":"retrieval"},
  {"stage":"retrieve","index":"items_index","k":6},
  {"stage":"filter","seen":"seen"},
  {"stage":"features","side":"item","table":"items"},
  {"stage":"filter","expr":"oldest is null or year >= oldest"},
  {"stage":"encode","side":"item","workflow":"features"},
  {"stage":"score","model":"ranking"},
  {"stage":"order","k":3,"by":"score","method":"greedy"}]})";
const char* const kMonitorOptions = R"({"features":[{"name":"age","kind":"numeric","bins":3},
  {"name":"genre","kind":"categorical"}],"window":4,"min_labels":1,"label_delay_seconds":60,
  "pending_capacity":10,"min_rows":2,"thresholds":{"auc":0.6,"psi":0.2,"js":0.06}})";

const char* model_spec(const std::string& kind) {
  if (kind == "popularity") return R"({"version":1,"kind":"popularity","item":"item_id"})";
  if (kind == "item_knn") return R"({"version":1,"kind":"item_knn","item":"item_id","user":"user","neighbors":3})";
  if (kind == "ials")
    return R"({"version":1,"kind":"ials","item":"item_id","user":"user","dim":4,"epochs":2,"seed":3})";
  if (kind == "two_tower")
    return R"({"version":1,"kind":"two_tower","item":"item_id","dim":4,"embedding_dim":4,"hidden":[4],"batch":8,
      "epochs":2,"user_features":["history","age"],"item_features":["item_id","genre"],"seed":5})";
  return R"({"version":1,"kind":"dlrm","label":"label","dim":4,"bottom":[4,4],"top":[4],"batch":8,"epochs":2,
    "user_features":["history","age"],"item_features":["item_id","genre","year"],"seed":6})";
}

namespace {

struct Interactions {
  std::vector<int64_t> users, items;
  std::vector<std::vector<int64_t>> history;
  std::vector<std::string> genres;
  std::vector<float> ages, years, labels;
};

// Every user meets the items of their own third of the catalogue; every second row is one they did not like.
const Interactions& interactions() {
  static const Interactions rows = [] {
    Interactions r;
    for (int u = 0; u < kUsers; u++)
      for (int n = 0; n < 3; n++) {
        int liked = u % 3 + 3 * n;
        int i = n % 2 ? (liked + 1) % kItems : liked;
        r.users.push_back(u);
        r.items.push_back(i);
        r.history.push_back({(liked + 3) % kItems, (liked + 6) % kItems});
        r.genres.push_back("g" + std::to_string(i % 3));
        r.ages.push_back(float(20 + 10 * (u % 3)));
        r.years.push_back(float(1990 + i));
        r.labels.push_back(n % 2 ? 0 : 1);
      }
    return r;
  }();
  return rows;
}

std::vector<int64_t> plus(std::vector<int64_t> v, int64_t offset) {
  for (int64_t& x : v) x += offset;
  return v;
}

std::vector<std::vector<int64_t>> plus(std::vector<std::vector<int64_t>> v, int64_t offset) {
  for (auto& list : v) list = plus(std::move(list), offset);
  return v;
}

std::atomic<bool> hook_armed{false}, hook_forever{false};
std::atomic<int64_t> hook_target{0}, hook_seen{0}, hook_refused{0};

void* hook_alloc(uintptr_t, uint64_t size, uint64_t align) {
  if (hook_armed) {
    int64_t n = hook_seen++;
    if (n == hook_target || (n > hook_target && hook_forever)) return hook_refused++, nullptr;
  }
  allocations::Host host;
  return std::aligned_alloc(size_t(align), size_t((size + align - 1) / align * align));
}

void hook_free(uintptr_t, void* p, uint64_t, uint64_t) { std::free(p); }

std::map<std::pair<uint32_t, bool>, std::unique_ptr<World>>& worlds() {
  static std::map<std::pair<uint32_t, bool>, std::unique_ptr<World>> all;
  return all;
}

}  // namespace

void arm_hook(int64_t n, allocations::Mode mode) {
  hook_target = n;
  hook_forever = mode == allocations::Mode::kForever;
  hook_seen = hook_refused = 0;
  hook_armed = true;
}

int64_t disarm_hook() {
  hook_armed = false;
  return hook_seen;
}

int64_t hook_failed() { return hook_refused; }

gyr_allocator failing_allocator() {
  gyr_allocator a = {};
  a.struct_size = sizeof a;
  a.alloc = hook_alloc;
  a.free = hook_free;
  return a;
}

void raw_rows(Source* out) {
  const Interactions& r = interactions();
  out->ints("user_id", plus(r.users, user_id(0)))
      .floats("age", r.ages)
      .lists("history", plus(r.history, item_id(0)))
      .ints("item_id", plus(r.items, item_id(0)))
      .strings("genre", r.genres)
      .floats("year", r.years)
      .floats("label", r.labels);
}

void user_rows(Source* out) {
  std::vector<int64_t> ids, at;
  std::vector<float> ages;
  std::vector<std::vector<int64_t>> history;
  for (int u = 0; u < kUsers; u++) {
    ids.push_back(user_id(u));
    at.push_back(1'000'000);
    ages.push_back(float(20 + 10 * (u % 3)));
    history.push_back({item_id(u % 3), item_id(u % 3 + 3)});
  }
  out->ints("user_id", ids).ints("at", at).floats("age", ages).lists("history", history).lists("seen", history);
}

void item_rows(Source* out) {
  std::vector<int64_t> ids;
  std::vector<std::string> genres;
  std::vector<float> years;
  for (int i = 0; i < kItems; i++) {
    ids.push_back(item_id(i));
    genres.push_back("g" + std::to_string(i % 3));
    years.push_back(float(1990 + i));
  }
  out->ints("item_id", ids).strings("genre", genres).floats("year", years);
}

World::World(uint32_t threads, bool hook) : threads_(threads), hook_(hook) {
  std::string base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ::testing::TempDir();
  folder_ = base + "/gyr_fault_XXXXXX";
  EXPECT_NE(mkdtemp(folder_.data()), nullptr) << folder_;
}

World::~World() { std::filesystem::remove_all(folder_); }

World& World::of(const Fault& f) {
  auto& world = worlds()[{f.threads(), f.hook()}];
  if (!world) world = std::make_unique<World>(f.threads(), f.hook());
  return *world;
}

void World::close_all() { worlds().clear(); }

std::vector<std::string> World::files() const {
  std::vector<std::string> names;
  DIR* folder = opendir(folder_.c_str());
  while (dirent* entry = folder ? readdir(folder) : nullptr)
    if (entry->d_name[0] != '.' || std::string(entry->d_name).size() > 2) names.push_back(entry->d_name);
  if (folder) closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

gyr_runtime* World::runtime() {
  if (runtime_) return runtime_;
  gyr_allocator allocator = failing_allocator();
  gyr_runtime_options o = {};
  o.struct_size = sizeof o;
  o.threads = threads_;
  if (hook_) o.allocator = &allocator;
  GYR_SETUP(gyr_runtime_create(&o, runtime_.out(), err));
  return runtime_;
}

gyr_workflow* World::workflow() {
  if (workflow_) return workflow_;
  GYR_SETUP(gyr_workflow_create(runtime(), kGraph, workflow_.out(), err));
  Source rows;
  raw_rows(&rows);
  while (gyr_workflow_fit_passes_left(workflow_) && !::testing::Test::HasFailure()) {
    ArrowArrayStream stream = rows.open();
    GYR_SETUP(gyr_workflow_fit_partial(workflow_, &stream, nullptr, err));
    GYR_SETUP(gyr_workflow_fit_finish(workflow_, err));
  }
  return workflow_;
}

const std::string& World::schema() {
  if (schema_.empty())
    schema_ = text_of([this](char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err) {
      return gyr_workflow_schema(workflow(), buffer, capacity, size, err);
    });
  return schema_;
}

void World::encoded_rows(Source* out) const {
  const Interactions& r = interactions();
  std::vector<float> ages, years;
  std::vector<int64_t> genres;
  for (float a : r.ages) ages.push_back((a - 20) / 20);
  for (float y : r.years) years.push_back((y - 1994) / 4);
  for (const std::string& g : r.genres) genres.push_back(3 + g[1] - '0');
  out->ints("user", plus(r.users, 3))
      .floats("age", ages)
      .lists("history", plus(r.history, 3))
      .ints("item_id", plus(r.items, 3))
      .ints("genre", genres)
      .floats("year", years)
      .floats("label", r.labels);
}

gyr_trainer* World::trainer(const std::string& kind) {
  TrainerHandle& t = trainers_[kind];
  if (t) return t;
  GYR_SETUP(gyr_trainer_create(runtime(), model_spec(kind), schema().c_str(), t.out(), err));
  Source rows;
  encoded_rows(&rows);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_trainer_fit(t, &stream, nullptr, err));
  return t;
}

gyr_model* World::model(const std::string& kind) {
  ModelHandle& m = models_[kind];
  if (!m) GYR_SETUP(gyr_trainer_export(trainer(kind), m.out(), err));
  return m;
}

gyr_table* World::users() {
  if (users_) return users_;
  GYR_SETUP(gyr_table_create(runtime(), kUserTable, users_.out(), err));
  Source rows;
  user_rows(&rows);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_table_upsert(users_, &stream, nullptr, nullptr, err));
  return users_;
}

gyr_table* World::items() {
  if (items_) return items_;
  GYR_SETUP(gyr_table_create(runtime(), kItemTable, items_.out(), err));
  Source rows;
  item_rows(&rows);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_table_upsert(items_, &stream, nullptr, nullptr, err));
  return items_;
}

gyr_index* World::index() {
  if (index_) return index_;
  gyr_index_options o = {};
  o.struct_size = sizeof o;
  o.dim = 4;
  o.degree = 4;
  GYR_SETUP(gyr_index_create(runtime(), &o, index_.out(), err));
  std::vector<int64_t> codes, genres, ids;
  for (int i = 0; i < kItems; i++) {
    ids.push_back(item_id(i));
    codes.push_back(3 + i);
    genres.push_back(3 + i % 3);
  }
  Source rows;
  rows.ints("item_id", codes).ints("genre", genres);
  std::vector<float> vectors(kItems * 4);
  uint64_t n = 0;
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_model_encode(model("two_tower"), GYR_SIDE_ITEM, &stream, vectors.data(), kItems, &n, err));
  GYR_SETUP(gyr_index_upsert(index_, ids.data(), vectors.data(), kItems, nullptr, err));
  return index_;
}

const std::string& World::bundle_file() {
  if (!bundle_file_.empty()) return bundle_file_;
  bundle_file_ = path("bundle.gyr");
  BuilderHandle b;
  GYR_SETUP(gyr_bundle_builder_create(runtime(), b.out(), err));
  GYR_SETUP(gyr_bundle_builder_add_workflow(b, "features", workflow(), err));
  GYR_SETUP(gyr_bundle_builder_add_table(b, "users", users(), err));
  GYR_SETUP(gyr_bundle_builder_add_table(b, "items", items(), err));
  GYR_SETUP(gyr_bundle_builder_add_index(b, "items_index", index(), err));
  GYR_SETUP(gyr_bundle_builder_add_model(b, "retrieval", model("two_tower"), err));
  GYR_SETUP(gyr_bundle_builder_add_model(b, "ranking", model("dlrm"), err));
  GYR_SETUP(gyr_bundle_builder_set_pipeline(b, kPipeline, err));
  GYR_SETUP(gyr_bundle_builder_save(b, bundle_file_.c_str(), err));
  return bundle_file_;
}

gyr_bundle* World::bundle() {
  if (!bundle_) GYR_SETUP(gyr_bundle_open(runtime(), bundle_file().c_str(), bundle_.out(), err));
  return bundle_;
}

}  // namespace gyr::test
