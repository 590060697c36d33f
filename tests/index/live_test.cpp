// An index under change: what rebuilding and compaction keep, bring back and give back.
#include <atomic>
#include <thread>

#include "io/container.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

constexpr uint64_t kN = kSanitized ? 2500 : 5000;
constexpr int kRounds = kSanitized ? 4 : 12;
constexpr uint32_t kDim = 16;

// At a small effort, so that worse links show.
double recall_of(const Index& index, const std::vector<float>& queries) {
  Index::Query q{queries.data(), queries.size() / kDim, 10, 16};
  auto got = search(index, q);
  q.exact = true;
  return recall(got, search(index, q), 10);
}

void upsert_in_chunks(Index* index, const std::vector<int64_t>& ids, const float* vectors, uint64_t chunk) {
  for (uint64_t at = 0; at < ids.size(); at += chunk)
    ASSERT_TRUE(
        index->upsert(ids.data() + at, vectors + at * kDim, std::min<uint64_t>(chunk, ids.size() - at), nullptr).ok());
}

class LiveTest : public testing::TestWithParam<gyr_metric> {};

TEST_P(LiveTest, RecallAfterReplacingHalfIsThatOfAFreshBuild) {
  auto runtime = make_runtime(2);
  const auto ids = numbers(kN), half = numbers(kN / 2);
  const auto data = mixture(kN, kDim, 1, 0.3), other = mixture(kN / 2, kDim, 2, 0.3), queries = mixture(500, kDim, 3);
  auto fresh = make_index(runtime, kDim, GetParam(), GYR_INDEX_GRAPH);
  ASSERT_TRUE(fresh->upsert(ids.data(), data.data(), kN, nullptr).ok());
  auto index = make_index(runtime, kDim, GetParam(), GYR_INDEX_GRAPH);
  auto before = data;
  std::copy(other.begin(), other.end(), before.begin());
  ASSERT_TRUE(index->upsert(ids.data(), before.data(), kN, nullptr).ok());
  upsert_in_chunks(index.get(), half, data.data(), 400);
  EXPECT_GE(recall_of(*index, queries), recall_of(*fresh, queries) - 0.005);
  ASSERT_TRUE(index->compact(nullptr).ok());
  EXPECT_GE(recall_of(*index, queries), recall_of(*fresh, queries) - 0.005);
}

// So few that a build inserts them one after the other.
TEST_P(LiveTest, CompactionOfAFewIsAsGoodAsInsertion) {
  auto runtime = make_runtime(2);
  const uint64_t n = 1500;
  const auto ids = numbers(n);
  const auto data = mixture(n, kDim, 1, 0.3), queries = mixture(500, kDim, 3);
  auto index = make_index(runtime, kDim, GetParam(), GYR_INDEX_GRAPH);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  const double inserted = recall_of(*index, queries);
  ASSERT_TRUE(index->compact(nullptr).ok());
  EXPECT_GE(recall_of(*index, queries), inserted - 0.005);
}
INSTANTIATE_TEST_SUITE_P(All, LiveTest, testing::Values(GYR_METRIC_L2, GYR_METRIC_IP, GYR_METRIC_COSINE));

TEST(Live, EndlessReplacementTakesNoMoreMemoryAndDeletionGivesItBack) {
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const uint64_t n = 1000, last = kRounds - 1;
  uint64_t first = 0;
  for (int round = 0; round < kRounds; round++) {
    const auto ids = numbers(n, int64_t(round) * int64_t(n));
    const auto data = mixture(n, kDim, uint64_t(round));
    for (uint64_t at = 0; at < n; at += 250) {
      ASSERT_TRUE(index->upsert(ids.data() + at, data.data() + at * kDim, 250, nullptr).ok());
      const auto old = numbers(250, ids[at] - int64_t(n));
      ASSERT_TRUE(index->remove(old.data(), 250, nullptr).ok());
    }
    const auto info = info_of(*index);
    EXPECT_EQ(info.count, n);
    EXPECT_LE(info.slots, n + 250);
    if (round == 1) first = info.bytes;
    EXPECT_LE(info.bytes, round > 1 ? first + first / 2 : info.bytes) << round;
  }
  const auto gone = numbers(n - 100, int64_t(last * n) + 100);
  std::vector<int64_t> kept = numbers(100, int64_t(last * n)), slots(100), after(100);
  ASSERT_TRUE(index->remove(gone.data(), gone.size(), nullptr).ok());
  index->slots(kept.data(), 100, slots.data());
  ASSERT_TRUE(index->compact(nullptr).ok());
  index->slots(kept.data(), 100, after.data());
  EXPECT_EQ(slots, after);
  const auto info = info_of(*index);
  EXPECT_EQ(info.count, 100u);
  EXPECT_EQ(info.slots, uint64_t(*std::max_element(slots.begin(), slots.end())) + 1);
  ASSERT_TRUE(index->remove(kept.data(), 100, nullptr).ok());
  ASSERT_TRUE(index->compact(nullptr).ok());
  EXPECT_EQ(info_of(*index).slots, 0u);
  EXPECT_LT(info_of(*index).bytes, first / 10);
  const auto data = mixture(50, kDim, 5);
  ASSERT_TRUE(index->upsert(kept.data(), data.data(), 50, nullptr).ok());
  EXPECT_EQ(search(*index, {data.data() + 7 * kDim, 1, 1}).ids[0], kept[7]);
}

TEST(Live, CompactionIsTheSameForAnyThreadsAndThroughAFile) {
  const uint64_t n = 3000;
  const auto ids = numbers(2 * n);
  const auto data = mixture(2 * n, kDim, 1);
  std::vector<uint8_t> first;
  for (uint32_t threads : {1u, 2u}) {
    auto runtime = make_runtime(threads);
    auto index = make_index(runtime, kDim, GYR_METRIC_IP, GYR_INDEX_GRAPH);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
    ASSERT_TRUE(index->upsert(ids.data() + 10, data.data() + n * kDim, 700, nullptr).ok());
    ASSERT_TRUE(index->remove(ids.data() + 100, 900, nullptr).ok());
    auto file = Container::parse(saved(*index));
    auto loaded = Index::load(runtime, **file, "index");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    for (auto* i : {index.get(), loaded->get()}) {
      ASSERT_TRUE(i->upsert(ids.data() + n, data.data(), 600, nullptr).ok());  // the 2200th change: compacts
      ASSERT_TRUE(i->remove(ids.data() + n - 50, 50, nullptr).ok());
      ASSERT_TRUE(i->compact(nullptr).ok());
    }
    EXPECT_EQ(saved(*index), saved(**loaded));
    if (first.empty()) first = saved(*index);
    EXPECT_EQ(saved(*index), first);
  }
}

TEST(Live, ACancelledRebuildOrCompactionLeavesTheIndexAsItWas) {
  auto runtime = make_runtime(2);
  auto index = make_index(runtime, kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto ids = numbers(kN);
  const auto data = mixture(kN, kDim, 1);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 1000, nullptr).ok());
  ASSERT_TRUE(index->remove(ids.data() + 5, 10, nullptr).ok());
  const auto before = saved(*index);
  gyr_task task;
  task.cancelled = true;
  EXPECT_EQ(index->upsert(ids.data(), data.data(), kN, &task).code(), GYR_E_CANCELLED);
  EXPECT_EQ(index->compact(&task).code(), GYR_E_CANCELLED);
  EXPECT_EQ(saved(*index), before);
  EXPECT_TRUE(Index::load(runtime, **Container::parse(before), "index").ok());
}

TEST(Live, AnUpsertThatCannotCompactIsAnUpsertAllTheSame) {
  auto index = make_index(make_runtime(1), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto ids = numbers(4200);
  const auto data = mixture(4200, kDim, 1);
  upsert_in_chunks(index.get(), numbers(1999), data.data(), 1999);
  gyr_task task;
  std::atomic<bool> done{false};
  std::thread canceller([&] {
    while (!done)
      if (std::lock_guard lock(task.phase_mutex); task.phase == "compact") task.cancelled = true;
  });
  EXPECT_TRUE(index->upsert(ids.data() + 1999, data.data() + 1999 * kDim, 1, &task).ok());
  done = true;
  canceller.join();
  EXPECT_EQ(info_of(*index).count, 2000u);
}

// What comes in while all links are found anew, by a compaction or an upsert of many, is not lost.
TEST(Live, ChangesBesideARebuildAreKept) {
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const uint64_t n = kN;
  const auto ids = numbers(n);
  auto data = gaussian(n, kDim, 1);
  const auto others = gaussian(n / 3, kDim, 2);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  Random random(7);
  std::vector<bool> alive(n, true);
  for (int round = 0; round < 4; round++) {
    const bool many = round % 2;
    std::atomic<bool> done{false};
    std::thread other([&] {
      if (many) {  // ids of its own
        const auto more = numbers(n / 3, 1'000'000);
        EXPECT_TRUE(index->upsert(more.data(), others.data(), n / 3, nullptr).ok());
        EXPECT_TRUE(index->remove(more.data(), n / 3, nullptr).ok());
      } else {
        EXPECT_TRUE(index->compact(nullptr).ok());
      }
      done = true;
    });
    for (int step = 0; step < 100 && !done; step++) {
      const uint64_t at = random.below(n - 20);
      if (random.below(3) == 0) {
        uint64_t removed = 0, expected = 0;
        for (uint64_t i = at; i < at + 5; i++) expected += alive[i], alive[i] = false;
        ASSERT_TRUE(index->remove(ids.data() + at, 5, &removed).ok());
        ASSERT_EQ(removed, expected);
      } else {
        const auto fresh = gaussian(20, kDim, random.next());
        std::copy(fresh.begin(), fresh.end(), data.begin() + ptrdiff_t(at * kDim));
        if (many) std::this_thread::yield();
        ASSERT_TRUE(index->upsert(ids.data() + at, fresh.data(), 20, nullptr).ok());
        for (uint64_t i = at; i < at + 20; i++) alive[i] = true;
      }
    }
    other.join();
    const auto found = search(*index, {data.data(), n, 1, 64});
    uint64_t there = 0, itself = 0;
    for (uint64_t i = 0; i < n; i++) {
      there += alive[i];
      ASSERT_TRUE(alive[i] || found.ids[i] != ids[i]) << i << " was deleted";
      itself += alive[i] && found.ids[i] == ids[i];
    }
    EXPECT_EQ(info_of(*index).count, there);
    EXPECT_GE(itself, there - there / 100);
  }
}

// A delete returns while an upsert of many is under way, and holds.
TEST(Live, DeletesDoNotWaitForARebuild) {
  auto index = make_index(make_runtime(1), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto ids = numbers(2 * kN);
  const auto data = gaussian(2 * kN, kDim, 1);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 1000, nullptr).ok());
  gyr_task task;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    EXPECT_EQ(index->upsert(ids.data() + 500, data.data() + 500 * kDim, 2 * kN - 500, &task).code(), GYR_E_CANCELLED);
    done = true;
  });
  for (bool begun = false; !begun;) {
    std::lock_guard lock(task.phase_mutex);
    begun = task.phase == "build";
  }
  uint64_t removed = 0;
  ASSERT_TRUE(index->remove(ids.data(), 600, &removed).ok());
  EXPECT_EQ(removed, 600u);
  EXPECT_FALSE(done);
  EXPECT_EQ(info_of(*index).count, 400u);
  task.cancelled = true;
  writer.join();
  EXPECT_EQ(info_of(*index).count, 400u);
  EXPECT_EQ(search(*index, {data.data(), 1, 500}).counts[0], 400u);
}

Index::Query one(const std::vector<float>& data, uint64_t n) { return {data.data(), n, 1, 0, true}; }

std::shared_ptr<Index> make(gyr_index_kind kind, gyr_stored stored, uint64_t threads = 2) {
  gyr_index_options o{};
  o.dim = kDim;
  o.metric = GYR_METRIC_L2;
  o.kind = kind;
  o.stored = stored;
  return *Index::create(make_runtime(uint32_t(threads)), o);
}

struct Case {
  gyr_index_kind kind;
  gyr_stored stored;
};
class LiveKindTest : public testing::TestWithParam<Case> {};

// Half of what an upsert of many replaces is deleted while it runs: what is left is whole, by exact search and by the
// file, and no slot belongs to two.
TEST_P(LiveKindTest, DeletesBesideUpsertsAndCompactionsLeaveWholeVectors) {
  auto index = make(GetParam().kind, GetParam().stored);
  const uint64_t n = kN;
  const auto ids = numbers(n);
  const auto old = gaussian(n, kDim, 1), data = gaussian(n, kDim, 2);
  ASSERT_TRUE(index->upsert(ids.data(), old.data(), n / 2, nullptr).ok());
  std::atomic<bool> done{false};
  std::thread writer([&] {
    EXPECT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
    EXPECT_TRUE(index->compact(nullptr).ok());
    done = true;
  });
  std::vector<bool> deleted(n);
  for (uint64_t id = 1; id < n / 2 && !done; id += 2) {
    uint64_t removed = 0;
    ASSERT_TRUE(index->remove(&ids[id], 1, &removed).ok());
    ASSERT_EQ(removed, 1u) << id;
    deleted[id] = true;
    if (id % 16 == 1) std::this_thread::yield();
  }
  writer.join();
  auto loaded = Index::load(make_runtime(1), **Container::parse(saved(*index)), "index");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  for (Index* i : {index.get(), loaded->get()}) {
    const auto found = search(*i, one(data, n));
    std::vector<int64_t> slots(n);
    i->slots(ids.data(), n, slots.data());
    uint64_t there = 0;
    std::set<int64_t> distinct;
    for (uint64_t id = 0; id < n; id++) {
      if (slots[id] >= 0) {  // deleted before the upsert looked at it: inserted again
        there++;
        EXPECT_EQ(found.ids[id], ids[id]);
        EXPECT_TRUE(distinct.insert(slots[id]).second);
      } else {
        EXPECT_TRUE(deleted[id]) << id;
        EXPECT_NE(found.ids[id], ids[id]);
      }
    }
    EXPECT_EQ(info_of(*i).count, there);
  }
}

// What a compaction gives up at the end was in prepared filters; ids that get those slots again are in none.
TEST_P(LiveKindTest, FiltersOutliveCompaction) {
  auto index = make(GetParam().kind, GetParam().stored);
  const uint64_t n = 3000;
  const auto ids = numbers(n), others = numbers(n, 100000);
  const auto data = gaussian(n, kDim, 1);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  std::vector<int64_t> few, many;
  for (uint64_t i = 0; i < n; i++) {
    if (i % 100 == 0) few.push_back(ids[i]);
    if (i % 2 == 0) many.push_back(ids[i]);
  }
  auto sharp = *index->select(std::span<const int64_t>(few), {}, nullptr);
  auto blunt = *index->select(std::span<const int64_t>(many), {}, nullptr);
  ASSERT_TRUE(index->remove(ids.data() + n / 4, n - n / 4, nullptr).ok());
  ASSERT_TRUE(index->compact(nullptr).ok());
  EXPECT_EQ(info_of(*index).slots, n / 4);
  const auto check = [&] {
    for (const auto& selection : {sharp, blunt})
      for (bool exact : {false, true}) {
        Index::Query q{data.data(), 3, 10, 200, exact};
        q.selection = selection.get();
        const auto found = search(*index, q);
        const uint64_t step = selection == sharp ? 100 : 2;
        for (uint32_t count : found.counts) EXPECT_EQ(count, std::min<uint64_t>(10, (n / 4 + step - 1) / step));
        for (int64_t id : found.ids) EXPECT_TRUE(id == -1 || (id < int64_t(n / 4) && id % int64_t(step) == 0)) << id;
      }
  };
  check();
  ASSERT_TRUE(index->upsert(others.data(), data.data(), n, nullptr).ok());
  check();
}

// Slots that a stream has taken are not given up, and its vectors are whole.
TEST_P(LiveKindTest, ACompactionLeavesAStreamItsSlots) {
  auto index = make(GetParam().kind, GetParam().stored);
  const auto ids = numbers(kN);
  const auto data = gaussian(kN, kDim, 1);
  const uint64_t before = 1000;
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), before, nullptr).ok());
  auto inflow = index->inflow(0);
  for (uint64_t at = before; at < kN; at += 500) {
    const uint64_t some = std::min<uint64_t>(500, kN - at);
    ASSERT_TRUE(inflow->append(ids.data() + at, data.data() + at * kDim, some, nullptr).ok());
    ASSERT_TRUE(index->remove(ids.data() + (at - before) / 10, 50, nullptr).ok());
    ASSERT_TRUE(index->compact(nullptr).ok());
    auto loaded = Index::load(make_runtime(1), **Container::parse(saved(*index)), "index");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  }
  ASSERT_TRUE(inflow->finish(nullptr).ok());
  const auto found = search(*index, one(data, kN));
  for (uint64_t i = before; i < kN; i++) ASSERT_EQ(found.ids[i], ids[i]);
}

TEST_P(LiveKindTest, CompactionGivesMemoryBack) {
  auto index = make(GetParam().kind, GetParam().stored);
  const uint64_t n = 4000;
  const auto ids = numbers(n);
  const auto data = gaussian(n, kDim, 1);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  const uint64_t full = info_of(*index).bytes;
  ASSERT_TRUE(index->remove(ids.data() + 200, n - 200, nullptr).ok());
  ASSERT_TRUE(index->compact(nullptr).ok());
  EXPECT_LT(info_of(*index).bytes, full / 4);
  auto found = search(*index, one(data, 200));
  for (uint64_t i = 0; i < 200; i++) EXPECT_EQ(found.ids[i], ids[i]);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  found = search(*index, one(data, n));
  for (uint64_t i = 0; i < n; i++) ASSERT_EQ(found.ids[i], ids[i]);
}

std::string name_of(const testing::TestParamInfo<Case>& p) {
  const char* const kinds[] = {"", "exact", "graph", "ivf"};
  return std::string(kinds[p.param.kind]) + std::to_string(p.param.stored);
}
INSTANTIATE_TEST_SUITE_P(All, LiveKindTest,
                         testing::Values(Case{GYR_INDEX_GRAPH, GYR_STORED_FP32}, Case{GYR_INDEX_GRAPH, GYR_STORED_FP16},
                                         Case{GYR_INDEX_GRAPH, GYR_STORED_INT16},
                                         Case{GYR_INDEX_GRAPH, GYR_STORED_INT8}, Case{GYR_INDEX_IVF, GYR_STORED_FP32},
                                         Case{GYR_INDEX_IVF, GYR_STORED_INT8}, Case{GYR_INDEX_EXACT, GYR_STORED_FP32}),
                         name_of);

TEST(Live, ACancelledUpsertIntoAnEmptyIndexCanBeSaved) {
  auto index = make_index(make_runtime(1), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto ids = numbers(3000);
  const auto data = gaussian(3000, kDim, 1);
  auto inflow = index->inflow(0);
  ASSERT_TRUE(inflow->append(ids.data(), data.data(), 3000, nullptr).ok());
  gyr_task task;
  task.cancelled = true;
  EXPECT_EQ(inflow->finish(&task).code(), GYR_E_CANCELLED);
  inflow.reset();
  auto loaded = Index::load(make_runtime(1), **Container::parse(saved(*index)), "index");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  ASSERT_TRUE((*loaded)->upsert(ids.data(), data.data(), 100, nullptr).ok());
  EXPECT_EQ(search(**loaded, {data.data(), 1, 1}).ids[0], 0);
}

// The codes' centre was forgotten: vectors far away from the origin had codes that told them not apart.
TEST(Live, AnEmptiedAndCompactedIndexKeepsItsCentre) {
  auto index = make_index(make_runtime(1), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  constexpr uint64_t kFew = 250;  // no new centre is taken of so few
  auto data = gaussian(600, kDim, 1);
  for (float& v : data) v += 1000;
  const auto ids = numbers(600);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 600, nullptr).ok());
  ASSERT_TRUE(index->remove(ids.data(), 600, nullptr).ok());
  ASSERT_TRUE(index->compact(nullptr).ok());
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kFew, nullptr).ok());
  const auto found = search(*index, {data.data(), kFew, 1, 3});  // an effort small enough for walks
  EXPECT_GT(info_of(*index).codes_touched, 0u);
  uint64_t itself = 0;
  for (uint64_t i = 0; i < kFew; i++) itself += found.ids[i] == ids[i];
  EXPECT_GE(itself, kFew * 9 / 10);
}

// Files of earlier builds do not say how much has changed since the links were found.
TEST(Live, AFileWithoutChangesIsCompacted) {
  auto runtime = make_runtime(1);
  auto index = make_index(runtime, kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto ids = numbers(3000);
  const auto data = gaussian(3000, kDim, 1);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 3000, nullptr).ok());
  ASSERT_TRUE(index->remove(ids.data() + 2000, 1000, nullptr).ok());
  const auto whole = saved(*index);
  auto file = *Container::parse(whole);
  auto section = *file->read("index", "IDX2");
  std::memset(section.data() + 40, 0, 8);  // the changes, behind the options and the tuned effort
  ContainerWriter writer;
  ASSERT_TRUE(writer.add("index", "IDX2", section).ok());
  auto loaded = Index::load(runtime, **Container::parse(*writer.serialize()), "index");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  ASSERT_TRUE((*loaded)->compact(nullptr).ok());
  EXPECT_EQ(info_of(**loaded).slots, 2000u);
  auto again = Index::load(runtime, **Container::parse(saved(**loaded)), "index");  // no link leads out of it
  ASSERT_TRUE(again.ok()) << again.status().message();
  const auto found = search(**loaded, {data.data(), 2000, 1, 64});
  uint64_t itself = 0;
  for (uint64_t i = 0; i < 2000; i++) itself += found.ids[i] == ids[i];
  EXPECT_GE(itself, 1980u);
}

}  // namespace
}  // namespace gyr::test
