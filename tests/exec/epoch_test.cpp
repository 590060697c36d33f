#include "exec/epoch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace gyr {
namespace {

struct Node {
  std::atomic<uint64_t> value{0};
  std::atomic<bool> alive{true};
};

void count_free(void* p, void* ctx) {
  delete static_cast<int*>(p);
  ++*static_cast<std::atomic<int>*>(ctx);
}

TEST(Epoch, FreesOnlyAfterReadersLeft) {
  EpochDomain domain;
  std::atomic<int> freed{0};
  {
    auto guard = domain.enter();
    domain.retire(new int(1), count_free, &freed);
    for (int i = 0; i < 10; i++) domain.reclaim();
    EXPECT_EQ(freed, 0);
    auto later = domain.enter();  // moved and nested guards count once each
    guard = std::move(later);
    for (int i = 0; i < 10; i++) domain.reclaim();
    EXPECT_EQ(freed, 0);
  }
  domain.synchronize();
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(domain.waiting(), 0u);
}

TEST(Epoch, DestructorFreesWhatIsLeft) {
  std::atomic<int> freed{0};
  {
    EpochDomain domain;
    auto guard = domain.enter();
    for (int i = 0; i < 10; i++) domain.retire(new int(i), count_free, &freed);
    domain.reclaim();
  }
  EXPECT_EQ(freed, 10);
}

TEST(Epoch, GuardMayEndOnAnotherThread) {
  EpochDomain domain;
  std::atomic<int> freed{0};
  auto guard = domain.enter();
  domain.retire(new int(1), count_free, &freed);
  std::thread([g = std::move(guard)] {}).join();
  domain.synchronize();
  EXPECT_EQ(freed, 1);
}

// Writers replace nodes under readers; a freed node is marked before it goes, so a reader that could see one would
// notice (and the sanitizers would too).
TEST(Epoch, Stress) {
  constexpr int kSlots = 8, kReaders = 4, kWriters = 2, kRounds = 20000;
  EpochDomain domain;
  std::atomic<Node*> slots[kSlots];
  for (auto& s : slots) s = new Node;
  std::atomic<int> writers{kWriters};
  std::atomic<uint64_t> dead{0}, reads{0};
  std::vector<std::thread> threads;
  for (int r = 0; r < kReaders; r++)
    threads.emplace_back([&, r] {
      uint64_t i = uint64_t(r);
      do {
        auto guard = domain.enter();
        Node* node = slots[i++ % kSlots].load(std::memory_order_acquire);
        for (int k = 0; k < 4; k++)
          if (!node->alive.load(std::memory_order_relaxed)) dead++;
        reads++;
      } while (writers > 0);
    });
  for (int w = 0; w < kWriters; w++)
    threads.emplace_back([&, w] {
      for (int i = 0; i < kRounds; i++) {
        Node* old = slots[(i * kWriters + w) % kSlots].exchange(new Node, std::memory_order_acq_rel);
        domain.retire(
            old,
            [](void* p, void*) {
              static_cast<Node*>(p)->alive = false;
              delete static_cast<Node*>(p);
            },
            nullptr);
        EXPECT_LT(domain.waiting(), EpochDomain::kSoftLimit * 4);
      }
      writers--;
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(dead, 0u);
  EXPECT_GT(reads, 0u);
  domain.synchronize();
  EXPECT_EQ(domain.waiting(), 0u);
  for (auto& s : slots) delete s.load();
}

}  // namespace
}  // namespace gyr
