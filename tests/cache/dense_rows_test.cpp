// Rows at their number: what readers hold stays as it is, whatever writers do meanwhile.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <thread>

#include "base/random.h"
#include "cache/rows.h"

namespace gyr {
namespace {

constexpr size_t kWords = 12;
using Row = std::array<uint64_t, kWords>;

Row row_of(int64_t key, uint64_t version) {
  Row row;
  for (size_t i = 0; i < kWords; i++) row[i] = mix64(uint64_t(key) * 1000003 + version) + (i == 0 ? 0 : i);
  row[1] = version;
  return row;
}
void put(DenseRows* rows, int64_t key, uint64_t version) {
  Row row = row_of(key, version);
  rows->put(&key, 1, [&](size_t, uint8_t* to) { std::memcpy(to, row.data(), sizeof row); });
}
// -1 = missing; fails when the row is no version of its key.
int64_t version_of(int64_t key, const uint8_t* found) {
  if (!found) return -1;
  Row row;
  std::memcpy(row.data(), found, sizeof row);
  EXPECT_EQ(row, row_of(key, row[1])) << "key " << key;
  return int64_t(row[1]);
}
std::vector<const uint8_t*> find(const DenseRows& rows, const std::vector<int64_t>& keys) {
  std::vector<const uint8_t*> out(keys.size(), nullptr);
  rows.find(keys.data(), keys.size(), [&](size_t first, size_t m, const uint8_t* const* found) {
    for (size_t i = 0; i < m; i++) out[first + i] = found[i];
  });
  return out;
}

TEST(DenseRows, HeldRowsOutliveReplacementsAndRemovals) {
  constexpr int64_t kKeys = 70;
  DenseRows rows(std::pmr::new_delete_resource(), sizeof(Row), kKeys);
  std::map<int64_t, uint64_t> model;
  std::vector<int64_t> keys = {-1, kKeys};  // nobody's
  for (int64_t k = 0; k < kKeys; k++) keys.push_back(k);
  Random random{3};
  uint64_t version = 0;
  for (int round = 0; round < 200; round++) {
    auto guard = rows.read();
    auto held = find(rows, keys);
    auto then = model;
    std::thread writer([&] {  // writers must not hold a guard
      for (int i = 0; i < 40; i++) {
        auto key = int64_t(random.below(kKeys));
        if (random.below(4) == 0) {
          EXPECT_EQ(rows.remove(&key, 1), model.erase(key));
        } else {
          put(&rows, key, ++version);
          model[key] = version;
        }
      }
    });
    writer.join();
    for (size_t i = 0; i < keys.size(); i++) {
      auto before = then.find(keys[i]), now = model.find(keys[i]);
      EXPECT_EQ(version_of(keys[i], held[i]), before == then.end() ? -1 : int64_t(before->second)) << "held";
      EXPECT_EQ(version_of(keys[i], find(rows, {keys[i]})[0]), now == model.end() ? -1 : int64_t(now->second));
    }
    EXPECT_EQ(rows.size(), model.size());
    std::vector<CachedRow> scanned;
    for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) rows.scan(&cursor, 16 + scanned.size(), &scanned);
    EXPECT_EQ(scanned.size(), model.size());
    for (auto& [key, row, mark] : scanned) EXPECT_EQ(version_of(key, row), int64_t(model.at(key)));
    if (HasFailure()) return;
  }
}

// What went aside comes home: memory does not grow with the number of replacements.
TEST(DenseRows, ReplacedRowsReturnToTheirPlaces) {
  DenseRows rows(std::pmr::new_delete_resource(), sizeof(Row), 1000);
  for (int64_t k = 0; k < 1000; k++) put(&rows, k, 1);
  auto home = find(rows, {7})[0];
  const uint64_t bytes = rows.bytes();
  for (uint64_t v = 2; v < 200; v++)
    for (int64_t k = 0; k < 1000; k++) put(&rows, k, v);
  for (int i = 0; i < 4; i++) put(&rows, 8, 1000);  // whoever writes next
  EXPECT_EQ(version_of(7, find(rows, {7})[0]), 199);
  EXPECT_EQ(find(rows, {7})[0], home);
  EXPECT_LT(rows.bytes(), bytes + 256 * 1024);
}

TEST(DenseRows, ReadersSeeWholeRowsUnderWriters) {
  constexpr int64_t kKeys = 48;
  DenseRows rows(std::pmr::new_delete_resource(), sizeof(Row), kKeys);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> version{0}, seen{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 2; t++)
    threads.emplace_back([&, t] {
      Random random{t};
      while (!stop) {
        auto key = int64_t(random.below(kKeys));
        if (random.below(8) == 0)
          rows.remove(&key, 1);
        else
          put(&rows, key, ++version);
      }
    });
  for (uint64_t t = 0; t < 2; t++)
    threads.emplace_back([&, t] {
      Random random{t + 10};
      std::vector<int64_t> keys(100);
      while (!stop) {
        for (auto& k : keys) k = int64_t(random.below(kKeys));
        auto guard = rows.read();
        auto found = find(rows, keys);
        for (size_t i = 0; i < keys.size(); i++) seen += version_of(keys[i], found[i]) > 0;
      }
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  stop = true;
  for (auto& t : threads) t.join();
  EXPECT_GT(seen.load(), 1000u);
  EXPECT_GT(version.load(), 1000u);
}

}  // namespace
}  // namespace gyr
