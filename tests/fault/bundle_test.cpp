// gyr/bundle.h and gyr/pipeline.h with every allocation failing once.
#include <cmath>

#include "tests/fault/world.h"

namespace gyr::test {
namespace {

BuilderHandle builder_of(const Fault& f) {
  BuilderHandle b;
  GYR_SETUP(gyr_bundle_builder_create(World::of(f).runtime(), b.out(), err));
  return b;
}

BuilderHandle full_builder(const Fault& f) {
  World& w = World::of(f);
  BuilderHandle b = builder_of(f);
  GYR_SETUP(gyr_bundle_builder_add_workflow(b, "features", w.workflow(), err));
  GYR_SETUP(gyr_bundle_builder_add_table(b, "users", w.users(), err));
  GYR_SETUP(gyr_bundle_builder_add_table(b, "items", w.items(), err));
  GYR_SETUP(gyr_bundle_builder_add_index(b, "items_index", w.index(), err));
  GYR_SETUP(gyr_bundle_builder_add_model(b, "retrieval", w.model("two_tower"), err));
  GYR_SETUP(gyr_bundle_builder_add_model(b, "ranking", w.model("dlrm"), err));
  GYR_SETUP(gyr_bundle_builder_set_pipeline(b, kPipeline, err));
  GYR_SETUP(gyr_bundle_builder_set_metadata(b, R"({"made by":"test"})", err));
  return b;
}

BundleHandle opened(const Fault& f) {
  World& w = World::of(f);
  BundleHandle b;
  GYR_SETUP(gyr_bundle_open(w.runtime(), w.bundle_file().c_str(), b.out(), err));
  return b;
}

struct Answer {
  int64_t users[2] = {user_id(1), user_id(2)}, ids[6] = {};
  float scores[6] = {};
  uint32_t counts[2] = {};
  gyr_keys keys = int_keys(users, 2);
  gyr_recommend_args args = {};
  Answer() {
    args.struct_size = sizeof args;
    args.k = 3;
    args.users = &keys;
    args.out_ids = ids;
    args.out_scores = scores;
    args.out_counts = counts;
  }
  std::vector<double> all() const {
    std::vector<double> v(ids, ids + 6);
    for (float s : scores) v.push_back(std::isnan(s) ? -1 : s);
    v.insert(v.end(), counts, counts + 2);
    return v;
  }
};

std::vector<double> answer_of(const gyr_bundle* b) {
  Answer a;
  GYR_SETUP(gyr_bundle_recommend(b, &a.args, nullptr, err));
  return a.all();
}

std::vector<double> right_answer(const Fault& f) {
  std::vector<double> right = answer_of(World::of(f).bundle());
  EXPECT_EQ(right[12], 3);  // full lists
  return right;
}

FAULT_SCENARIO(gyr_bundle_builder_create) {
  gyr_runtime* runtime = World::of(f).runtime();
  BuilderHandle b;
  f.call([&](gyr_error* err) { return gyr_bundle_builder_create(runtime, b.out(), err); }, b.out());
  EXPECT_NE(b, nullptr);
}

// A name that does not fit into a short string. The retry proves that a failed call did not take the name.
constexpr const char* kLongName = "a_component_with_a_longer_name_than_a_short_string";

FAULT_SCENARIO(gyr_bundle_builder_add_workflow) {
  gyr_workflow* workflow = World::of(f).workflow();
  BuilderHandle b = builder_of(f);
  f.call([&](gyr_error* err) { return gyr_bundle_builder_add_workflow(b, kLongName, workflow, err); });
  EXPECT_EQ(gyr_bundle_builder_add_workflow(b, kLongName, workflow, nullptr), GYR_E_ALREADY_EXISTS);
}

FAULT_SCENARIO(gyr_bundle_builder_add_table) {
  gyr_table* table = World::of(f).users();
  BuilderHandle b = builder_of(f);
  f.call([&](gyr_error* err) { return gyr_bundle_builder_add_table(b, kLongName, table, err); });
  EXPECT_EQ(gyr_bundle_builder_add_table(b, kLongName, table, nullptr), GYR_E_ALREADY_EXISTS);
}

FAULT_SCENARIO(gyr_bundle_builder_add_index) {
  gyr_index* index = World::of(f).index();
  BuilderHandle b = builder_of(f);
  f.call([&](gyr_error* err) { return gyr_bundle_builder_add_index(b, kLongName, index, err); });
  EXPECT_EQ(gyr_bundle_builder_add_index(b, kLongName, index, nullptr), GYR_E_ALREADY_EXISTS);
}

FAULT_SCENARIO(gyr_bundle_builder_add_model) {
  gyr_model* model = World::of(f).model("dlrm");
  BuilderHandle b = builder_of(f);
  f.call([&](gyr_error* err) { return gyr_bundle_builder_add_model(b, kLongName, model, err); });
  EXPECT_EQ(gyr_bundle_builder_add_model(b, kLongName, model, nullptr), GYR_E_ALREADY_EXISTS);
}

FAULT_SCENARIO(gyr_bundle_builder_add_ids) {
  BuilderHandle b = builder_of(f);
  const gyr_str ids[] = {{"one", 3}, {"two", 3}, {"another id, longer than a short string", 38}};
  f.call([&](gyr_error* err) { return gyr_bundle_builder_add_ids(b, kLongName, ids, 3, err); });
  EXPECT_EQ(gyr_bundle_builder_add_ids(b, kLongName, ids, 3, nullptr), GYR_E_ALREADY_EXISTS);
}

FAULT_SCENARIO(gyr_bundle_builder_set_pipeline) {
  BuilderHandle b = full_builder(f);
  f.call([&](gyr_error* err) { return gyr_bundle_builder_set_pipeline(b, kPipeline, err); });
  World& w = World::of(f);
  GYR_SETUP(gyr_bundle_builder_save(b, w.path("set.gyr").c_str(), err));
}

FAULT_SCENARIO(gyr_bundle_builder_set_metadata) {
  BuilderHandle b = builder_of(f);
  f.call([&](gyr_error* err) {
    return gyr_bundle_builder_set_metadata(b, R"({"a":[1,2,{"b":"a text longer than a short string"}]})", err);
  });
}

FAULT_SCENARIO(gyr_bundle_builder_save) {
  World& w = World::of(f);
  std::vector<double> right = right_answer(f);
  BuilderHandle b = full_builder(f);
  std::string path = w.path("saved.gyr");
  f.call([&](gyr_error* err) { return gyr_bundle_builder_save(b, path.c_str(), err); });
  EXPECT_EQ(w.files(), (std::vector<std::string>{"bundle.gyr", "saved.gyr"}));
  BundleHandle again;
  GYR_SETUP(gyr_bundle_open(w.runtime(), path.c_str(), again.out(), err));
  EXPECT_EQ(answer_of(again), right);
}

FAULT_SCENARIO(gyr_bundle_builder_destroy) {
  BuilderHandle b = full_builder(f);
  f.run([&] { gyr_bundle_builder_destroy(b.release()); });
}

FAULT_SCENARIO(gyr_bundle_open) {
  World& w = World::of(f);
  std::vector<double> right = right_answer(f);
  gyr_runtime* runtime = w.runtime();
  BundleHandle b;
  f.call([&](gyr_error* err) { return gyr_bundle_open(runtime, w.bundle_file().c_str(), b.out(), err); }, b.out());
  EXPECT_EQ(answer_of(b), right);
}

void publish(Fault& f, uint32_t flags) {
  World& w = World::of(f);
  std::vector<double> right = right_answer(f);
  BundleHandle b = opened(f);
  uint64_t generation = 99;
  {
    TableHandle users;  // a row upserted live
    GYR_SETUP(gyr_bundle_table(b, "users", users.out(), err));
    int64_t id = 5;
    gyr_keys key = int_keys(&id, 1);
    const char* column = "age";
    gyr_value age = {};
    age.dtype = GYR_DTYPE_FLOAT64, age.f = 30;
    GYR_SETUP(gyr_table_upsert_row(users, &key, 2'000'000, &column, &age, 1, nullptr, err));
  }
  f.after_failure([&] { EXPECT_EQ(answer_of(b), right); });  // the old generation serves on
  f.call([&](gyr_error* err) { return gyr_bundle_publish(b, w.bundle_file().c_str(), flags, &generation, err); },
         &generation);
  EXPECT_EQ(generation, 2u);
  EXPECT_EQ(answer_of(b), right);
  TableHandle users;
  GYR_SETUP(gyr_bundle_table(b, "users", users.out(), err));
  gyr_table_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_table_get_info(users, &info, err));
  EXPECT_EQ(info.rows, uint64_t(kUsers) + (flags ? 1 : 0));
}

FAULT_SCENARIO(gyr_bundle_publish) { publish(f, 0); }
FAULT_VARIANT(gyr_bundle_publish, carrying_rows) { publish(f, GYR_PUBLISH_CARRY_ROWS); }

// The third generation retires the first.
FAULT_VARIANT(gyr_bundle_publish, third) {
  World& w = World::of(f);
  BundleHandle b = opened(f);
  uint64_t generation = 0;
  GYR_SETUP(gyr_bundle_publish(b, w.bundle_file().c_str(), 0, &generation, err));
  f.call([&](gyr_error* err) { return gyr_bundle_publish(b, w.bundle_file().c_str(), 0, &generation, err); },
         &generation);
  EXPECT_EQ(generation, 3u);
  EXPECT_EQ(answer_of(b), right_answer(f));
}

FAULT_SCENARIO(gyr_bundle_rollback) {
  World& w = World::of(f);
  BundleHandle b = opened(f);
  uint64_t generation = 99;
  GYR_SETUP(gyr_bundle_publish(b, w.bundle_file().c_str(), 0, nullptr, err));
  f.call([&](gyr_error* err) { return gyr_bundle_rollback(b, &generation, err); }, &generation);
  EXPECT_EQ(generation, 1u);
}

FAULT_SCENARIO(gyr_bundle_table) {
  gyr_bundle* b = World::of(f).bundle();
  TableHandle t;
  f.call([&](gyr_error* err) { return gyr_bundle_table(b, "users", t.out(), err); }, t.out());
  EXPECT_NE(t, nullptr);
}

FAULT_SCENARIO(gyr_bundle_index) {
  gyr_bundle* b = World::of(f).bundle();
  IndexHandle i;
  f.call([&](gyr_error* err) { return gyr_bundle_index(b, "items_index", i.out(), err); }, i.out());
  EXPECT_NE(i, nullptr);
}

FAULT_SCENARIO(gyr_bundle_model) {
  gyr_bundle* b = World::of(f).bundle();
  ModelHandle m;
  f.call([&](gyr_error* err) { return gyr_bundle_model(b, "ranking", m.out(), err); }, m.out());
  EXPECT_NE(m, nullptr);
}

FAULT_SCENARIO(gyr_bundle_workflow) {
  gyr_bundle* b = World::of(f).bundle();
  WorkflowHandle w;
  f.call([&](gyr_error* err) { return gyr_bundle_workflow(b, "features", w.out(), err); }, w.out());
  EXPECT_NE(w, nullptr);
}

FAULT_SCENARIO(gyr_bundle_describe) {
  gyr_bundle* b = World::of(f).bundle();
  std::string want = text_of([b](char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err) {
    return gyr_bundle_describe(b, buffer, capacity, size, err);
  });
  std::string text(want.size() + 1, 0);
  uint64_t size = 0;
  f.call([&](gyr_error* err) { return gyr_bundle_describe(b, text.data(), text.size(), &size, err); }, &size);
  EXPECT_EQ(text.c_str(), want);
}

FAULT_SCENARIO(gyr_bundle_metrics) {
  gyr_bundle* b = World::of(f).bundle();
  std::vector<char> text(1 << 16);
  uint64_t size = 0;
  f.call([&](gyr_error* err) { return gyr_bundle_metrics(b, text.data(), text.size(), &size, err); }, &size);
  EXPECT_NE(std::string(text.data()).find("gyr_requests_total"), std::string::npos);
}

FAULT_SCENARIO(gyr_bundle_destroy) {
  BundleHandle b = opened(f);
  GYR_SETUP(gyr_bundle_publish(b, World::of(f).bundle_file().c_str(), 0, nullptr, err));
  answer_of(b);
  f.run([&] { gyr_bundle_destroy(b.release()); });
}

FAULT_SCENARIO(gyr_workspace_create) {
  gyr_bundle* b = World::of(f).bundle();
  WorkspaceHandle w;
  f.call([&](gyr_error* err) { return gyr_workspace_create(b, w.out(), err); }, w.out());
  Answer a;
  a.args.workspace = w;
  GYR_SETUP(gyr_bundle_recommend(b, &a.args, nullptr, err));
  EXPECT_EQ(a.all(), right_answer(f));
}

FAULT_SCENARIO(gyr_workspace_destroy) {
  gyr_bundle* b = World::of(f).bundle();
  WorkspaceHandle w;
  GYR_SETUP(gyr_workspace_create(b, w.out(), err));
  Answer a;
  a.args.workspace = w;
  GYR_SETUP(gyr_bundle_recommend(b, &a.args, nullptr, err));
  f.run([&] { gyr_workspace_destroy(w.release()); });
}

// The first call with a fresh workspace allocates all it needs.
FAULT_SCENARIO(gyr_bundle_recommend) {
  gyr_bundle* b = World::of(f).bundle();
  std::vector<double> right = right_answer(f);
  WorkspaceHandle w;
  GYR_SETUP(gyr_workspace_create(b, w.out(), err));
  Answer a;
  a.args.workspace = w;
  f.call([&](gyr_error* err) { return gyr_bundle_recommend(b, &a.args, nullptr, err); });
  EXPECT_EQ(a.all(), right);
}

// A workspace from the bundle's own pool, which is empty in a bundle just opened.
FAULT_VARIANT(gyr_bundle_recommend, from_pool) {
  std::vector<double> right = right_answer(f);
  BundleHandle b = opened(f);
  Answer a;
  f.call([&](gyr_error* err) { return gyr_bundle_recommend(b, &a.args, nullptr, err); });
  EXPECT_EQ(a.all(), right);
  EXPECT_EQ(answer_of(b), right);
}

}  // namespace
}  // namespace gyr::test
