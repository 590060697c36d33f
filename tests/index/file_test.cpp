// Indexes that are used where their files lie.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "io/container.h"
#include "tests/index/fixture.h"
#include "tests/support/files.h"

namespace gyr::test {
namespace {

constexpr uint32_t kDim = 20;  // padded in memory
constexpr uint64_t kN = 3000;
constexpr gyr_stored kStored[] = {GYR_STORED_FP32, GYR_STORED_FP16, GYR_STORED_BF16, GYR_STORED_INT16, GYR_STORED_INT8};

struct TempFile {
  TempFile() : path(testing::TempDir() + "gyr_" + std::to_string(getpid()) + "_index.gyr") {}
  ~TempFile() { std::remove(path.c_str()); }
  const std::string path;
};

std::shared_ptr<Index> filled(const std::shared_ptr<Runtime>& runtime, gyr_index_kind kind, gyr_stored stored) {
  auto index = make(runtime, options_of(kDim, GYR_METRIC_COSINE, kind, stored));
  auto data = gaussian(kN, kDim, 1);
  EXPECT_TRUE(index->upsert(numbers(kN).data(), data.data(), kN, nullptr).ok());
  const int64_t gone[] = {5, 6, 7, 2999};
  EXPECT_TRUE(index->remove(gone, 4, nullptr).ok());
  return index;
}

void save(const Index& index, const std::string& path) {
  ContainerWriter writer;
  ASSERT_TRUE(index.save(&writer, "index").ok());
  ASSERT_TRUE(writer.save(path).ok());
}

std::shared_ptr<Index> open(const std::shared_ptr<Runtime>& runtime, const std::string& path) {
  auto file = Container::open(path);
  EXPECT_TRUE(file.ok()) << file.status().message();
  auto index = Index::load(runtime, **file, "index");
  EXPECT_TRUE(index.ok()) << index.status().message();
  return *index;
}

struct InPlace : testing::TestWithParam<std::tuple<gyr_index_kind, gyr_stored>> {};

TEST_P(InPlace, AnswersAsBeforeAndChangesNothingInTheFile) {
  const auto [kind, stored] = GetParam();
  const TempFile file;
  auto runtime = make_runtime(2);
  auto index = filled(runtime, kind, stored);
  save(*index, file.path);
  const std::string before = slurp(file.path);
  auto queries = gaussian(30, kDim, 2);
  const Index::Query q{queries.data(), 30, 10}, exact{queries.data(), 30, 10, 0, true};
  const auto expected = search(*index, q), expected_exact = search(*index, exact);
  auto opened = open(runtime, file.path), other = open(runtime, file.path);
  EXPECT_EQ(search(*opened, q).ids, expected.ids);
  EXPECT_EQ(search(*opened, q).scores, expected.scores);
  EXPECT_EQ(search(*opened, exact).ids, expected_exact.ids);
  const int64_t known[] = {0, 4, 5, 2998, 2999, 123456};
  int64_t slots[6];
  opened->slots(known, 6, slots);
  EXPECT_EQ(std::vector<int64_t>(slots, slots + 6), (std::vector<int64_t>{0, 4, -1, 2998, -1, -1}));

  // The same changes to both, in every way that there is.
  auto more = gaussian(400, kDim, 3);
  for (auto& i : {index, opened}) {
    const int64_t gone[] = {0, 77};
    uint64_t removed = 0;
    ASSERT_TRUE(i->remove(gone, 2, &removed).ok());
    EXPECT_EQ(removed, 2u);
    ASSERT_TRUE(i->upsert(numbers(400, 2900).data(), more.data(), 400, nullptr).ok());
  }
  EXPECT_EQ(search(*opened, q).ids, search(*index, q).ids);
  EXPECT_EQ(search(*opened, exact).ids, search(*index, exact).ids);
  ASSERT_TRUE(opened->compact(nullptr).ok());
  for (int64_t id : search(*opened, q).ids) EXPECT_TRUE(id != 0 && id != 77);
  EXPECT_EQ(search(*other, q).ids, expected.ids);  // sees none of it
  EXPECT_EQ(slurp(file.path), before);

  save(*opened, file.path);  // over the file that `other` lies in
  EXPECT_EQ(search(*open(runtime, file.path), q).ids, search(*opened, q).ids);
  EXPECT_EQ(search(*other, q).ids, expected.ids);
}

INSTANTIATE_TEST_SUITE_P(All, InPlace,
                         testing::Combine(testing::Values(GYR_INDEX_EXACT, GYR_INDEX_GRAPH, GYR_INDEX_IVF),
                                          testing::ValuesIn(kStored)));

TEST(InPlaceFile, SearchesGoOnBesideTheFirstChanges) {
  const TempFile file;
  auto runtime = make_runtime(2);
  save(*filled(runtime, GYR_INDEX_GRAPH, GYR_STORED_INT16), file.path);
  for (int round = 0; round < 5; round++) {
    auto index = open(runtime, file.path);
    auto data = gaussian(64, kDim, 4);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; t++)
      threads.emplace_back([&] {
        while (!stop) {
          auto f = search(*index, {data.data(), 1, 10});
          EXPECT_EQ(f.counts[0], 10u);
        }
      });
    for (int t = 0; t < 2; t++)
      threads.emplace_back([&, t] {
        const int64_t id = 5000 + t, gone = 100 + t;
        EXPECT_TRUE(index->upsert(&id, data.data() + t * kDim, 1, nullptr).ok());
        EXPECT_TRUE(index->remove(&gone, 1, nullptr).ok());
      });
    for (size_t t = 2; t < threads.size(); t++) threads[t].join();
    stop = true;
    threads[0].join();
    threads[1].join();
    EXPECT_EQ(search(*index, {data.data() + kDim, 1, 1, 0, true}).ids[0], 5001);
  }
}

// An id that is in it twice is found out before anything is changed.
TEST(InPlaceFile, AFileWithAnIdTwiceIsRefusedByTheFirstChange) {
  auto runtime = make_runtime(1);
  auto index = filled(runtime, GYR_INDEX_GRAPH, GYR_STORED_FP32);
  auto bytes = *(*Container::parse(saved(*index)))->read("index", "IDX2");
  std::vector<int64_t> ids(kN - 8);  // those before the first that is gone are not moved
  for (int64_t i = 0; i < int64_t(ids.size()); i++) ids[size_t(i)] = 8 + i < 2999 ? 8 + i : 0;
  auto at = std::search(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(ids.data()),
                        reinterpret_cast<uint8_t*>(ids.data() + 100));
  ASSERT_NE(at, bytes.end());
  at[0] = 9;  // 8 becomes 9, which is there
  ContainerWriter damaged;
  ASSERT_TRUE(damaged.add("index", "IDX2", bytes).ok());
  auto loaded = Index::load(runtime, **Container::parse(*damaged.serialize()), "index");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const int64_t gone = 1;
  for (int i = 0; i < 2; i++) {
    Status refused = (*loaded)->remove(&gone, 1, nullptr);
    EXPECT_EQ(refused.code(), GYR_E_CORRUPT);
    EXPECT_NE(std::string(refused.message()).find("twice"), std::string::npos) << refused.message();
  }
  EXPECT_EQ(info_of(**loaded).count, kN - 4);
}

}  // namespace
}  // namespace gyr::test
