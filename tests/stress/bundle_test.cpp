// Serving while generations come and go: each answer is of one generation, and its number says which.
#include <map>
#include <memory>
#include <utility>

#include "tests/stress/world.h"

namespace gyr::stress {
namespace {

class BundleStress : public ::testing::Test {
 protected:
  BundleStress() {
    Error err;
    for (int v = 0; v < kVariants; v++) {
      paths[v] = temp_path("variant" + std::to_string(v) + ".gyr");
      World world(v);
      world.save(paths[v]);
    }
    runtime = make_runtime(2);
    MUST_OK(err, gyr_bundle_open(runtime, paths[0].c_str(), &bundle, &err));
    published[1] = 0;
  }
  ~BundleStress() override {
    gyr_bundle_destroy(bundle);
    gyr_runtime_destroy(runtime);
    for (auto& path : paths) std::remove(path.c_str());
  }

  struct Request {
    std::vector<int64_t> users, ids;
    std::vector<float> scores;
    std::vector<uint32_t> counts;
    std::vector<uint8_t> status;
    gyr_keys keys;
    gyr_recommend_args args{};
    explicit Request(std::vector<int64_t> who)
        : users(std::move(who)),
          ids(users.size() * 10),
          scores(ids.size()),
          counts(users.size()),
          status(users.size()) {
      keys = keys_of(users);
      args.struct_size = sizeof args;
      args.k = 10, args.users = &keys, args.now_us = INT64_MAX;
      args.out_ids = ids.data(), args.out_scores = scores.data(), args.out_counts = counts.data();
      args.out_user_status = status.data();
    }
  };
  // All items of an answer are of one variant and none was dropped as another's; notes (generation, variant).
  void check(Worker& w, Request& r) {
    int variant = variant_of(r.ids[0]);
    for (size_t u = 0; u < r.users.size(); u++) {
      MUST(r.counts[u] == 10) << r.counts[u] << " items of generation " << r.args.generation;
      MUST(r.status[u] == (r.users[u] < kUsers ? GYR_VALUE_PRESENT : GYR_VALUE_MISSING));
      for (uint32_t i = 0; i < r.counts[u]; i++) MUST(variant_of(r.ids[u * 10 + i]) == variant);
      for (uint32_t i = 1; i < r.counts[u]; i++) MUST(r.scores[u * 10 + i] <= r.scores[u * 10 + i - 1]);
    }
    seen[w.number].emplace(r.args.generation, variant);
  }
  void recommend(Worker& w, std::vector<int64_t> users, gyr_workspace* workspace, gyr_task* task = nullptr) {
    Request r(std::move(users));
    r.args.workspace = workspace;
    Error err;
    calls++;
    gyr_status s = CALL(gyr_bundle_recommend)(bundle, &r.args, task, &err);
    MUST(s == GYR_OK || (task && (s == GYR_E_CANCELLED || s == GYR_E_DEADLINE))) << err.message;
    if (s != GYR_OK) return;
    answered += r.users.size();
    check(w, r);
  }

  std::string paths[kVariants];
  gyr_runtime* runtime = nullptr;
  gyr_bundle* bundle = nullptr;
  std::atomic<uint64_t> calls{0}, answered{0}, publishes{0};
  std::atomic<int64_t> event{100};
  std::mutex mutex;
  std::map<uint64_t, int> published;  // generation -> variant
  std::map<uint64_t, int> seen[64];   // per worker
};

TEST_F(BundleStress, AnswersAreOfOneGeneration) {
  std::vector<gyr_workspace*> workspaces;  // one per worker
  Hammer hammer;
  for (int t = 0; t < hammer.threads; t++) {
    Error err;
    workspaces.push_back(nullptr);
    MUST_OK(err, gyr_workspace_create(bundle, &workspaces.back(), &err));
  }
  auto some_users = [](Worker& w) {
    std::vector<int64_t> users;
    for (uint64_t n = 1 + w.below(4); n > 0; n--) users.push_back(int64_t(w.below(kUsers + 3)));
    return users;
  };
  hammer.operation(10, [&](Worker& w) { recommend(w, some_users(w), workspaces[size_t(w.number)]); });
  hammer.operation(6, [&](Worker& w) { recommend(w, some_users(w), nullptr); });
  hammer.operation(2, [&](Worker& w) {
    Error err;
    gyr_workspace* own = nullptr;
    gyr_task* task = nullptr;
    MUST_OK(err, CALL(gyr_workspace_create)(bundle, &own, &err));
    MUST_OK(err, CALL(gyr_task_create)(&task, &err));
    if (w.one_in(2)) CALL(gyr_task_set_timeout)(task, int64_t(w.below(200'000)));
    if (w.one_in(4)) CALL(gyr_task_cancel)(task);
    recommend(w, some_users(w), own, task);
    gyr_workspace_destroy(own);
    gyr_task_destroy(task);
  });
  hammer.operation(2, [&](Worker& w) {
    int variant = int(w.below(kVariants));
    uint64_t generation = 0;
    Error err;
    MUST_OK(err, CALL(gyr_bundle_publish)(bundle, paths[variant].c_str(), w.one_in(2) ? GYR_PUBLISH_CARRY_ROWS : 0,
                                          &generation, &err));
    publishes++;
    std::lock_guard lock(mutex);
    MUST(published.emplace(generation, variant).second) << generation << " twice";
  });
  hammer.operation(1, [&](Worker&) {
    Error err;
    MUST(CALL(gyr_bundle_publish)(bundle, "/no/such/file", 0, nullptr, &err) == GYR_E_NOT_FOUND) << err.message;
  });
  hammer.operation(2, [&](Worker&) {
    uint64_t generation = 0;
    Error err;
    gyr_status s = CALL(gyr_bundle_rollback)(bundle, &generation, &err);
    MUST(s == GYR_OK ? generation > 0 : s == GYR_E_INVALID_STATE) << err.message;  // none before the first publish
  });
  hammer.operation(6, [&](Worker& w) {  // live rows; what a handle wrote, the same handle reads
    Error err;
    gyr_table* users = nullptr;
    MUST_OK(err, CALL(gyr_bundle_table)(bundle, "users", &users, &err));
    int64_t at = event++, out = 0;
    std::vector<int64_t> id{int64_t(kUsers + 100 + w.number)};
    gyr_keys key = keys_of(id);
    const char* name = "note";
    gyr_value value{};
    value.dtype = GYR_DTYPE_INT64, value.i = at;
    MUST_OK(err, gyr_table_upsert_row(users, &key, at, &name, &value, 1, nullptr, &err));
    gyr_table_column c{};
    c.struct_size = sizeof c, c.name = name, c.dtype = GYR_DTYPE_INT64, c.values = &out, c.values_capacity = 1;
    MUST_OK(err, gyr_table_get(users, &key, INT64_MAX, &c, 1, &err));
    MUST(out == at) << out << " " << at;
    gyr_table_destroy(users);
  });
  hammer.operation(3, [&](Worker& w) {  // live index: an item of another variant comes and goes
    Error err;
    gyr_index* index = nullptr;
    MUST_OK(err, CALL(gyr_bundle_index)(bundle, "catalogue", &index, &err));
    int64_t id = 900'000 + w.number;
    std::vector<float> far(8, -1e6f);
    MUST_OK(err, gyr_index_upsert(index, &id, far.data(), 1, nullptr, &err));
    MUST_OK(err, gyr_index_delete(index, &id, 1, nullptr, &err));
    gyr_index_destroy(index);
  });
  hammer.operation(3, [&](Worker&) {  // components of a generation that may be gone before they are used
    Error err;
    gyr_model* model = nullptr;
    gyr_workflow* workflow = nullptr;
    MUST_OK(err, CALL(gyr_bundle_model)(bundle, "ranking", &model, &err));
    MUST_OK(err, CALL(gyr_bundle_workflow)(bundle, "features", &workflow, &err));
    std::string text = text_of(
        [&](char* b, uint64_t c, uint64_t* s, gyr_error* e) { return CALL(gyr_model_describe)(model, b, c, s, e); });
    MUST(text.find("dlrm") != std::string::npos) << text;
    gyr_model_destroy(model);
    MUST(gyr_workflow_fit_passes_left(workflow) == 0);
    gyr_workflow_destroy(workflow);
    MUST(gyr_bundle_model(bundle, "nothing", &model, &err) == GYR_E_NOT_FOUND);
  });
  hammer.operation(2, [&](Worker&) {
    std::string text = text_of(
        [&](char* b, uint64_t c, uint64_t* s, gyr_error* e) { return CALL(gyr_bundle_describe)(bundle, b, c, s, e); });
    MUST(text.find("\"catalogue\"") != std::string::npos) << text;
    text = text_of(
        [&](char* b, uint64_t c, uint64_t* s, gyr_error* e) { return CALL(gyr_bundle_metrics)(bundle, b, c, s, e); });
    MUST(text.find("gyr_generation ") != std::string::npos) << text;
  });
  hammer.operation(1, [&](Worker&) {  // a second serving handle to the same file, and a builder over its parts
    Error err;
    gyr_bundle* other = nullptr;
    gyr_bundle_builder* builder = nullptr;
    gyr_table* items = nullptr;
    MUST_OK(err, CALL(gyr_bundle_open)(runtime, paths[1].c_str(), &other, &err));
    MUST_OK(err, CALL(gyr_bundle_builder_create)(runtime, &builder, &err));
    MUST_OK(err, gyr_bundle_table(other, "items", &items, &err));
    CALL(gyr_bundle_destroy)(other);
    MUST_OK(err, gyr_bundle_builder_add_table(builder, "items", items, &err));
    gyr_table_destroy(items);
    gyr_bundle_builder_destroy(builder);
  });
  hammer.run();

  for (auto& notes : seen)
    for (auto& [generation, variant] : notes) {
      ASSERT_TRUE(published.contains(generation)) << generation;
      EXPECT_EQ(published[generation], variant) << generation;
    }
  std::string text =
      text_of([&](char* b, uint64_t c, uint64_t* s, gyr_error* e) { return gyr_bundle_metrics(bundle, b, c, s, e); });
  auto metric = [&](const std::string& name) {
    size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? uint64_t(0) : std::strtoull(text.c_str() + at + name.size() + 2, nullptr, 10);
  };
  EXPECT_EQ(metric("gyr_requests_total"), calls);
  EXPECT_EQ(metric("gyr_users_total"), answered);
  EXPECT_EQ(metric("gyr_publishes_total"), publishes);
  for (auto* w : workspaces) gyr_workspace_destroy(w);
}

}  // namespace
}  // namespace gyr::stress
