// The served pipeline through the public interface.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <set>
#include <thread>

#include "tests/bundle/world.h"

namespace gyr::test {
namespace {

TEST(Recommend, FindsUnseenItemsOfTheUsersGroup) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  int hits = 0, total = 0;
  for (int u = 0; u < kUsers; u++) {
    Answer a({user_id(u)});
    ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
    ASSERT_EQ(a.counts[0], 10u);
    EXPECT_EQ(a.status[0], GYR_VALUE_PRESENT);
    EXPECT_EQ(a.args.generation, 1u);
    std::set<int64_t> distinct(a.ids.begin(), a.ids.end());
    EXPECT_EQ(distinct.size(), 10u);
    const auto& seen = world().seen[size_t(u)];
    for (int i = 0; i < 10; i++) {
      EXPECT_EQ(std::count(seen.begin(), seen.end(), a.ids[size_t(i)]), 0);
      hits += group_of_item(a.ids[size_t(i)]) == u % kGroups;
      total++;
      EXPECT_TRUE(i == 0 || a.scores[size_t(i) - 1] >= a.scores[size_t(i)]) << i;
      EXPECT_FALSE(std::isnan(a.stage_scores[size_t(i) * 2]));
      EXPECT_EQ(a.stage_scores[size_t(i) * 2 + 1], a.scores[size_t(i)]);
    }
  }
  EXPECT_GT(hits, total * 8 / 10);  // chance is a quarter
}

TEST(Recommend, BatchEqualsSingles) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer batch({user_id(3), 999999, user_id(40), user_id(3)});
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &batch.args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(batch.status[1], GYR_VALUE_MISSING);
  EXPECT_EQ(batch.counts[1], 10u);
  for (size_t u = 0; u < 4; u++) {
    Answer one({batch.users[u]});
    ASSERT_EQ(gyr_bundle_recommend(s.bundle, &one.args, nullptr, &err), GYR_OK) << err.message;
    EXPECT_EQ(std::memcmp(one.ids.data(), &batch.ids[u * 10], 10 * sizeof(int64_t)), 0);
    EXPECT_EQ(std::memcmp(one.scores.data(), &batch.scores[u * 10], 10 * sizeof(float)), 0);
  }
}

TEST(Recommend, RoomAboveTheGraphsKStaysEmpty) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer wide({user_id(3), user_id(4)}, 15), narrow({user_id(3), user_id(4)}, 4);
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &wide.args, nullptr, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &narrow.args, nullptr, &err), GYR_OK) << err.message;
  for (size_t u = 0; u < 2; u++) {
    EXPECT_EQ(wide.counts[u], 10u);
    EXPECT_EQ(narrow.counts[u], 4u);
    EXPECT_EQ(std::memcmp(&wide.ids[u * 15], &narrow.ids[u * 4], 4 * sizeof(int64_t)), 0);
    for (size_t i = 10; i < 15; i++) {
      EXPECT_EQ(wide.ids[u * 15 + i], -1);
      EXPECT_TRUE(std::isnan(wide.scores[u * 15 + i]));
    }
  }
}

TEST(Recommend, TraceCountsEveryStage) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer a({user_id(1), user_id(2)});
  gyr_stage_trace trace[16] = {};
  trace[0].struct_size = sizeof trace[0];
  a.args.trace = trace;
  a.args.trace_capacity = 16;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  ASSERT_EQ(a.args.trace_count, 9u);
  EXPECT_STREQ(trace[2].name, "retrieve");
  EXPECT_EQ(trace[2].rows_in, 2u);
  EXPECT_EQ(trace[2].rows_out, 120u);  // seen items are left out inside the search: all k survive
  EXPECT_STREQ(trace[3].name, "filter:seen");
  EXPECT_STREQ(trace[8].name, "order");
  EXPECT_EQ(trace[8].rows_out, 20u);
  for (uint32_t i = 1; i < a.args.trace_count; i++) EXPECT_EQ(trace[i].rows_in, trace[i - 1].rows_out);
}

TEST(Recommend, ContextReachesTheFilter) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer a({user_id(1)});
  const char* name = "oldest";
  gyr_value oldest{};
  oldest.dtype = GYR_DTYPE_FLOAT64;
  oldest.f = 2000;
  a.args.context_names = &name;
  a.args.context = &oldest;
  a.args.n_context = 1;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  ASSERT_GT(a.counts[0], 0u);
  for (uint32_t i = 0; i < a.counts[0]; i++) EXPECT_GE(1980 + (a.ids[i] - item_id(0)) % 30, 2000);
  oldest.f = 9999;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(a.counts[0], 0u);
  EXPECT_TRUE(std::isnan(a.scores[0]));
  EXPECT_EQ(a.ids[0], -1);
}

TEST(Recommend, BadArgumentsAreNamed) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  auto call = [&](Answer& a) { return gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err); };
  Answer a({user_id(1)});
  a.args.k = 0;
  EXPECT_EQ(call(a), GYR_E_OUT_OF_RANGE);
  a.args.k = 65537;
  EXPECT_EQ(call(a), GYR_E_OUT_OF_RANGE);
  a.args.k = 10;
  a.args.users = nullptr;
  EXPECT_EQ(call(a), GYR_E_INVALID_ARGUMENT);
  a.args.users = &a.keys;
  a.keys.dtype = GYR_DTYPE_STRING;
  EXPECT_EQ(call(a), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(err.message, "users.dtype"), nullptr) << err.message;
  a.keys.dtype = GYR_DTYPE_INT64;
  a.args.out_scores = nullptr;
  EXPECT_EQ(call(a), GYR_E_INVALID_ARGUMENT);
  a.args.out_scores = a.scores.data();
  const char* name = "hour";
  gyr_value v{};
  a.args.context_names = &name;
  a.args.context = &v;
  a.args.n_context = 1;
  EXPECT_EQ(call(a), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(err.message, "hour"), nullptr) << err.message;
  a.args.n_context = 0;
  a.args.struct_size = 0;
  EXPECT_EQ(call(a), GYR_E_INVALID_ARGUMENT);
  a.args.struct_size = sizeof a.args;
  EXPECT_EQ(gyr_bundle_recommend(nullptr, &a.args, nullptr, &err), GYR_E_INVALID_HANDLE);
  EXPECT_EQ(gyr_bundle_recommend(s.bundle, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  a.keys.count = 0;
  EXPECT_EQ(call(a), GYR_OK);  // nobody asked, nobody answered
  a.keys.count = 1;
  EXPECT_EQ(call(a), GYR_OK) << err.message;
  EXPECT_EQ(a.counts[0], 10u);
}

TEST(Recommend, CancelAndDeadline) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  gyr_task* task = nullptr;
  ASSERT_EQ(gyr_task_create(&task, &err), GYR_OK);
  Answer a({user_id(1)});
  gyr_task_set_timeout(task, 1);
  EXPECT_EQ(gyr_bundle_recommend(s.bundle, &a.args, task, &err), GYR_E_DEADLINE);
  gyr_task_set_timeout(task, 0);
  EXPECT_EQ(gyr_bundle_recommend(s.bundle, &a.args, task, &err), GYR_OK) << err.message;
  gyr_task_cancel(task);
  EXPECT_EQ(gyr_bundle_recommend(s.bundle, &a.args, task, &err), GYR_E_CANCELLED);
  gyr_task_destroy(task);
}

TEST(Recommend, SamplingFollowsTheSeedAndTheTemperature) {
  std::string sampled = kPipeline;
  std::string greedy = R"("method":"greedy")";
  sampled.replace(sampled.find(greedy), greedy.size(), R"("method":"softmax","temperature":0.05)");
  Served s(0, sampled.c_str());
  gyr_error err = GYR_ERROR_INIT;
  Answer a({user_id(1)}), b({user_id(1)});
  a.args.seed = b.args.seed = 7;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &b.args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(a.ids, b.ids);
  std::set<std::vector<int64_t>> lists;
  for (uint64_t seed = 0; seed < 20; seed++) {
    b.args.seed = seed;
    ASSERT_EQ(gyr_bundle_recommend(s.bundle, &b.args, nullptr, &err), GYR_OK) << err.message;
    lists.insert(b.ids);
  }
  EXPECT_GT(lists.size(), 5u);
}

TEST(Recommend, LiveUpsertIsServedAtOnce) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer before({user_id(5)});
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &before.args, nullptr, &err), GYR_OK) << err.message;
  gyr_table* users = nullptr;
  ASSERT_EQ(gyr_bundle_table(s.bundle, "users", &users, &err), GYR_OK) << err.message;
  std::vector<int64_t> seen = world().seen[5];
  seen.push_back(before.ids[0]);
  gyr_value v{};
  v.dtype = GYR_DTYPE_INT64;
  v.is_list = 1;
  v.list = seen.data();
  v.count = seen.size();
  const char* column = "seen";
  gyr_keys key = {sizeof key, GYR_DTYPE_INT64, 1, before.users.data(), nullptr};
  uint32_t applied = 0;
  ASSERT_EQ(gyr_table_upsert_row(users, &key, 2'000'000, &column, &v, 1, &applied, &err), GYR_OK) << err.message;
  EXPECT_EQ(applied, 1u);
  gyr_table_destroy(users);
  Answer after({user_id(5)});
  ASSERT_EQ(gyr_bundle_recommend(s.bundle, &after.args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(std::count(after.ids.begin(), after.ids.end(), before.ids[0]), 0);
  EXPECT_EQ(after.ids[0], before.ids[1]);
}

TEST(Recommend, BusyWorkspaceIsRefused) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  gyr_workspace* w = nullptr;
  ASSERT_EQ(gyr_workspace_create(s.bundle, &w, &err), GYR_OK) << err.message;
  std::vector<int64_t> crowd(2000);
  for (size_t i = 0; i < crowd.size(); i++) crowd[i] = user_id(int(i) % kUsers);
  std::atomic<int> busy{0}, other{0};
  auto call_often = [&] {
    gyr_error e = GYR_ERROR_INIT;
    Answer a(crowd);
    a.args.workspace = w;
    for (int n = 0; n < 500 && busy == 0; n++) {
      gyr_status status = gyr_bundle_recommend(s.bundle, &a.args, nullptr, &e);
      busy += status == GYR_E_BUSY;
      other += status != GYR_E_BUSY && status != GYR_OK;
    }
  };
  std::thread one(call_often), two(call_often);
  one.join();
  two.join();
  EXPECT_GT(busy, 0);
  EXPECT_EQ(other, 0);
  Answer a({user_id(1)});
  a.args.workspace = w;  // usable again
  EXPECT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  gyr_workspace_destroy(w);
}

TEST(Recommend, MetricsAndDescription) {
  Served s;
  gyr_error err = GYR_ERROR_INIT;
  Answer a({user_id(1), user_id(2)});
  for (int i = 0; i < 3; i++) ASSERT_EQ(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK) << err.message;
  a.args.k = 0;
  EXPECT_NE(gyr_bundle_recommend(s.bundle, &a.args, nullptr, &err), GYR_OK);
  uint64_t size = 0;
  ASSERT_EQ(gyr_bundle_metrics(s.bundle, nullptr, 0, &size, &err), GYR_OK);
  std::string text(size, 0);
  ASSERT_EQ(gyr_bundle_metrics(s.bundle, text.data(), text.size(), &size, &err), GYR_OK);
  EXPECT_NE(text.find("gyr_requests_total 4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("gyr_request_errors_total 1\n"), std::string::npos);
  EXPECT_NE(text.find("gyr_users_total 6\n"), std::string::npos);
  EXPECT_NE(text.find("gyr_request_seconds_count{} 3\n"), std::string::npos) << text;
  ASSERT_EQ(gyr_bundle_describe(s.bundle, nullptr, 0, &size, &err), GYR_OK);
  text.resize(size);
  EXPECT_EQ(gyr_bundle_describe(s.bundle, text.data(), size - 1, &size, &err), GYR_E_RESOURCE_EXHAUSTED);
  ASSERT_EQ(gyr_bundle_describe(s.bundle, text.data(), size, &size, &err), GYR_OK);
  EXPECT_NE(text.find("\"made by\": \"test\""), std::string::npos) << text;
}

}  // namespace
}  // namespace gyr::test
