// A process that changes a table in a folder is killed at random moments (SIGKILL), again and again: the next one finds
// every change that was answered, in order and nothing else. GYR_KILL_SECONDS is the time of each test, 2 by default.
#include <chrono>
#include <cstdlib>
#include <thread>

#include "tests/iofault/child.h"
#include "tests/iofault/live.h"

namespace gyr::test {
namespace {

using Clock = std::chrono::steady_clock;

class LiveKill : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Durabilities, LiveKill,
                         ::testing::Values(GYR_DURABILITY_ASYNC, GYR_DURABILITY_SYNC, GYR_DURABILITY_NONE));

TEST_P(LiveKill, AnsweredChangesSurvive) {
  const char* text = std::getenv("GYR_KILL_SECONDS");
  auto end = Clock::now() + std::chrono::duration<double>(text ? std::max(1.0, std::atof(text)) : 2);
  const bool sync = GetParam() == GYR_DURABILITY_SYNC, none = GetParam() == GYR_DURABILITY_NONE;
  Folder folder(false);
  Random random{uint64_t(getpid())};
  int64_t there = 0, kills = 0, lost = 0;
  while (Clock::now() < end && !HasFailure()) {
    Reports reports;
    pid_t pid = start_child([&] {
      LiveRun run;
      if (run.open(folder.path, GetParam(), 1 << 16) != GYR_OK) return 6;
      for (int64_t i = there + 1;; i++) {
        reports.say(-i);  // begun
        if (run.change(i) != GYR_OK) return 7;
        bool answered = sync;
        if (i % 50 == 0 && !none) answered |= run.flush() == GYR_OK;
        if (i % (none ? 15 : 300) == 0) answered |= run.checkpoint() == GYR_OK;
        if (answered) reports.say(i);
        if (!sync) std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    });
    if (random.below(8)) {
      ASSERT_TRUE(reports.heard());
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(60'000)));
    kill(pid, SIGKILL);
    ASSERT_EQ(wait_child(pid), -SIGKILL) << "the writer failed by itself";
    kills++;
    int64_t begun = there, answered = there;
    reports.all([&](int64_t said) { said < 0 ? begun = -said : answered = said; });
    LiveRun again;
    ASSERT_EQ(again.open(folder.path, GetParam(), 1 << 16), GYR_OK) << again.err.message;
    int64_t n = again.changes_there(answered, begun);
    ASSERT_GE(n, 0) << answered << " were answered, " << begun << " begun";
    lost += begun - n;
    there = n;
  }
  EXPECT_GT(kills, 3);
  EXPECT_GT(there, 0);
  std::printf("%lld kills, %lld changes, %lld begun and not there\n", (long long)kills, (long long)there,
              (long long)lost);
}

}  // namespace
}  // namespace gyr::test
