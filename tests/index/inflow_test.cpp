// Vectors that come in parts: a graph links them once, at the end, and other writers go on meanwhile.
#include "io/container.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

constexpr uint32_t kDim = 16;
constexpr uint64_t kItems = 5000, kPart = 700;

std::shared_ptr<Index> make(gyr_index_kind kind, gyr_stored stored = GYR_STORED_FP32) {
  gyr_index_options o{};
  o.dim = kDim;
  o.metric = GYR_METRIC_L2;
  o.kind = kind;
  o.stored = stored;
  return *Index::create(make_runtime(2), o);
}

void append_all(Index::Inflow* inflow, const std::vector<int64_t>& ids, const std::vector<float>& data) {
  for (uint64_t i = 0; i < ids.size(); i += kPart)
    ASSERT_TRUE(inflow->append(&ids[i], &data[i * kDim], std::min(kPart, ids.size() - i), nullptr).ok());
}

// Every id's own vector is the nearest to it.
void expect_each_found(const Index& index, const std::vector<int64_t>& ids, const std::vector<float>& data,
                       double least) {
  for (bool exact : {true, false}) {
    auto found = search(index, {data.data(), ids.size(), 1, 0, exact});
    uint64_t right = 0;
    for (uint64_t i = 0; i < ids.size(); i++) right += found.ids[i] == ids[i];
    EXPECT_GE(double(right), double(ids.size()) * (exact ? 1 : least)) << exact;
  }
}

TEST(Inflow, AGraphIsThatOfOneCall) {
  auto ids = numbers(kItems);
  auto data = mixture(kItems, kDim, 1);
  for (gyr_stored stored : {GYR_STORED_FP32, GYR_STORED_FP16, GYR_STORED_INT8}) {
    auto one = make(GYR_INDEX_GRAPH, stored), parts = make(GYR_INDEX_GRAPH, stored);
    ASSERT_TRUE(one->upsert(ids.data(), data.data(), kItems, nullptr).ok());
    auto inflow = parts->inflow(stored == GYR_STORED_FP16 ? kItems : 0);
    append_all(inflow.get(), ids, data);
    EXPECT_EQ(info_of(*parts).count, 0u);
    gyr_task task;
    ASSERT_TRUE(inflow->finish(&task).ok());
    EXPECT_EQ(task.done, task.total);
    EXPECT_EQ(info_of(*parts).count, kItems);
    if (stored != GYR_STORED_INT8) {  // whose centre is that of the first part
      EXPECT_EQ(saved(*one), saved(*parts));
    }
    expect_each_found(*parts, ids, data, 0.98);
  }
}

// Ids come twice, are there already, are inserted or deleted by others meanwhile; those that came last win.
TEST(Inflow, OtherWritersGoOn) {
  for (gyr_index_kind kind : {GYR_INDEX_GRAPH, GYR_INDEX_IVF, GYR_INDEX_EXACT})
    for (gyr_stored stored : {GYR_STORED_FP32, GYR_STORED_INT8}) {
      auto index = make(kind, stored);
      auto ids = numbers(kItems), before = numbers(1000, 4500), others = numbers(6000, 10000);
      auto data = mixture(kItems, kDim, 1), old = mixture(6000, kDim, 2);
      ASSERT_TRUE(index->upsert(before.data(), old.data(), 1000, nullptr).ok());  // 500 of them will be replaced
      auto inflow = index->inflow(0);
      append_all(inflow.get(), ids, mixture(kItems, kDim, 3));
      append_all(inflow.get(), ids, data);  // all of them again
      // So many that the graph is built anew, and some that wait: those are replaced in the end.
      ASSERT_TRUE(index->upsert(others.data(), old.data(), 6000, nullptr).ok());
      ASSERT_TRUE(index->upsert(ids.data(), old.data(), 10, nullptr).ok());
      uint64_t removed = 0;
      ASSERT_TRUE(index->remove(others.data(), 5000, &removed).ok());
      EXPECT_EQ(removed, 5000u);
      const uint64_t slots = info_of(*index).slots;
      ASSERT_TRUE(inflow->finish(nullptr).ok());
      inflow.reset();
      EXPECT_EQ(info_of(*index).count, kItems + 500 + 1000);
      EXPECT_EQ(info_of(*index).slots, slots);
      if (kind == GYR_INDEX_GRAPH) {
        EXPECT_EQ(search(*index, {data.data(), 1, 1, 0, true}).ids[0], 0) << "what waited came last";
      }
      ids.erase(ids.begin(), ids.begin() + 10);
      data.erase(data.begin(), data.begin() + 10 * kDim);
      expect_each_found(*index, ids, data, 0.97);
    }
}

TEST(Inflow, WhatIsNotFinishedIsGone) {
  auto index = make(GYR_INDEX_GRAPH);
  auto ids = numbers(kItems), few = numbers(100, -200);
  auto data = mixture(kItems, kDim, 1);
  ASSERT_TRUE(index->upsert(few.data(), data.data(), 100, nullptr).ok());
  {
    auto inflow = index->inflow(0);
    append_all(inflow.get(), ids, data);
    EXPECT_EQ(info_of(*index).slots, kItems + 100);
    ASSERT_TRUE(Container::parse(saved(*index)).ok());
  }
  auto cancelled = index->inflow(0);
  append_all(cancelled.get(), ids, data);
  gyr_task task;
  task.cancelled = true;
  EXPECT_EQ(cancelled->finish(&task).code(), GYR_E_CANCELLED);
  EXPECT_EQ(info_of(*index).count, 100u);
  EXPECT_EQ(info_of(*index).slots, kItems + 100);
  expect_each_found(*index, few, {data.begin(), data.begin() + 100 * kDim}, 1);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kItems, nullptr).ok());
  EXPECT_EQ(info_of(*index).slots, kItems + 100);
}

// A few for a large graph are linked one after the other.
TEST(Inflow, AFewAreLinkedInGroups) {
  for (gyr_stored stored : {GYR_STORED_FP32, GYR_STORED_INT8}) {
    auto index = make(GYR_INDEX_GRAPH, stored);
    auto ids = numbers(kItems);
    auto data = mixture(kItems, kDim, 1);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), kItems - 900, nullptr).ok());
    auto inflow = index->inflow(900);
    ASSERT_TRUE(inflow->append(&ids[kItems - 900], &data[(kItems - 900) * kDim], 900, nullptr).ok());
    gyr_task task;
    ASSERT_TRUE(inflow->finish(&task).ok());
    EXPECT_EQ(task.done, 900u);
    expect_each_found(*index, ids, data, 0.97);
  }
}

}  // namespace
}  // namespace gyr::test
