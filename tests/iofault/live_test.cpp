// A table in a folder meets every trouble at every file operation, death and power cuts at every one: what was answered
// is there when it is opened again, nothing is half there, and reads go on after a write has failed.
#include "tests/iofault/live.h"
#include <chrono>
#include <condition_variable>
#include <future>
#include <thread>

#include "tests/iofault/child.h"
#include "tests/iofault/power_model.h"

namespace gyr::test {
namespace {

#ifdef GYR_FAULTS

constexpr int64_t kChanges = 60;
constexpr int kCheckpointAt[] = {20, 45};

bool checkpoint_at(int64_t i) { return i == kCheckpointAt[0] || i == kCheckpointAt[1]; }

struct Progress {
  int64_t acked = 0, begun = 0;
  bool all_ok = true;
};

// The script: open, changes with checkpoints in between, close. Goes on after a failure, as a host may.
Progress run_script(LiveRun* run, const std::string& folder, gyr_durability durability,
                    const std::function<void(const Progress&)>& told = {}) {
  Progress p;
  auto tell = [&] {
    if (told) told(p);
  };
  if (run->open(folder, durability) != GYR_OK) {
    p.all_ok = false;
    return p;
  }
  for (int64_t i = 1; i <= kChanges && p.all_ok; i++) {
    p.begun = i;
    tell();
    p.all_ok = run->change(i) == GYR_OK;
    if (p.all_ok && durability == GYR_DURABILITY_SYNC) p.acked = i;
    if (p.all_ok && durability == GYR_DURABILITY_ASYNC && i % 7 == 0) {
      p.all_ok = run->flush() == GYR_OK;
      if (p.all_ok) p.acked = i;
    }
    tell();
    if (p.all_ok && checkpoint_at(i)) {
      p.all_ok = run->checkpoint() == GYR_OK;
      if (p.all_ok) p.acked = i;
      tell();
    }
  }
  return p;
}

constexpr Plan kPlans[] = {{Trouble::kError, false},        {Trouble::kError, true}, {Trouble::kNoSpace, false},
                           {Trouble::kNoSpace, true},       {Trouble::kTorn, false}, {Trouble::kTorn, true},
                           {Trouble::kInterrupt, false, 3}, {Trouble::kShort, true}};

class LiveFaults : public ::testing::TestWithParam<int> {
 protected:
  // Opens again without trouble: what was answered is there, perhaps what was begun, nothing else.
  void expect_recovered(const std::string& folder, const Progress& p) {
    LiveRun again;
    ASSERT_EQ(again.open(folder, GetParam()), GYR_OK) << again.err.message;
    int64_t n = again.changes_there(p.acked, p.begun);
    ASSERT_GE(n, 0) << p.acked << " changes were answered, " << p.begun << " begun; other rows are there";
    ASSERT_EQ(again.change(n + 1), GYR_OK) << again.err.message;
    again.close();
    ASSERT_EQ(again.open(folder, GetParam()), GYR_OK) << again.err.message;
    if (GetParam() != GYR_DURABILITY_NONE) {
      ASSERT_EQ(again.changes_there(n + 1, n + 1), n + 1);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Durabilities, LiveFaults,
                         ::testing::Values(GYR_DURABILITY_ASYNC, GYR_DURABILITY_SYNC, GYR_DURABILITY_NONE));

// Research section 9: disk full, a failed flush. Writes answer IO, reads go on, opening again helps.
TEST_P(LiveFaults, EveryTroubleAtEveryOperation) {
  int total = 0;
  for (const Plan& plan : kPlans) {
    int n = 0;
    for (;; n += GetParam() == GYR_DURABILITY_SYNC ? 3 : 2) {
      SCOPED_TRACE(std::string(name(plan.trouble)) + (plan.persistent ? " for good" : " once") + " at " +
                   std::to_string(n));
      ASSERT_LT(n, 2000);
      Folder folder(true);
      Progress p;
      bool met;
      int before = open_files();
      {
        LiveRun run;
        Disturber d(plan.trouble, n, plan.persistent, plan.times);
        p = run_script(&run, folder.path, GetParam());
        met = d.met();
        if (run.table && !p.all_ok) {
          EXPECT_EQ(run.err.code, GYR_E_IO) << run.err.message;
          // In memory is what was begun, at the most with the change that failed.
          EXPECT_GE(run.changes_there(p.begun - 1, p.begun), 0);
          gyr_table_log_info info{};
          info.struct_size = sizeof info;
          gyr_error err = GYR_ERROR_INIT;
          EXPECT_EQ(gyr_table_get_log_info(run.table, &info, &err), GYR_OK);
          if (info.failed) {
            EXPECT_EQ(run.change(p.begun + 1 + LiveChanges::deletes(p.begun + 1)), GYR_E_IO);
            EXPECT_EQ(run.checkpoint(), GYR_E_IO);
            EXPECT_GE(run.changes_there(p.begun - 1, p.begun), 0);
          }
        }
        if (!run.table) {
          EXPECT_EQ(run.err.code, GYR_E_IO) << run.err.message;
        }
        if (harmless(plan.trouble)) {
          EXPECT_TRUE(p.all_ok) << run.err.message;
        }
        run.close();
      }
      EXPECT_EQ(open_files(), before);
      if (!met) {
        EXPECT_TRUE(p.all_ok);
        break;
      }
      total++;
      expect_recovered(folder.path, p);
      if (HasFailure()) return;
    }
    EXPECT_GT(n, 5) << name(plan.trouble);
  }
  std::printf("%d disturbed runs\n", total);
}

TEST_P(LiveFaults, DeathAtEveryOperation) {
  int deaths = 0;
  for (Trouble trouble : {Trouble::kDie, Trouble::kDieTorn})
    for (int n = 0;; n += 3) {
      SCOPED_TRACE(std::string(name(trouble)) + " at " + std::to_string(n));
      ASSERT_LT(n, 2000);
      Folder folder(true);
      Reports reports;
      int status = wait_child(start_child([&] {
        LiveRun run;
        Disturber d(trouble, n);
        Progress p = run_script(&run, folder.path, GetParam(),
                                [&](const Progress& now) { reports.say(now.acked << 32 | now.begun); });
        run.close();
        return p.all_ok ? 0 : 5;
      }));
      ASSERT_TRUE(status == 0 || status == kDeathMark) << status;
      int64_t said = reports.last(0);
      Progress p{said >> 32, said & 0xffffffff, true};
      expect_recovered(folder.path, p);
      if (HasFailure()) return;
      if (status == 0) break;
      deaths++;
    }
  EXPECT_GT(deaths, 20);
}

// Asking how the log stands does not wait for a checkpoint.
TEST_P(LiveFaults, InfoDoesNotWaitForACheckpoint) {
  struct Hold final : FileWatch {
    std::mutex mutex;
    std::condition_variable changed;
    bool armed = false, held = false, go = false;
    Hold() { file_watch = this; }
    ~Hold() override { file_watch = nullptr; }
    FileVerdict before(const FileCall& call) override {
      std::unique_lock lock(mutex);
      if (!armed || call.op != FileOp::kRename) return {};
      held = true;
      changed.notify_all();
      changed.wait(lock, [&] { return go; });
      return {};
    }
    void after(const FileCall&, bool, ptrdiff_t) override {}
  };
  Folder folder(true);
  Hold hold;
  LiveRun run;
  ASSERT_EQ(run.open(folder.path, GYR_DURABILITY_SYNC), GYR_OK);
  ASSERT_EQ(run.change(1), GYR_OK);
  run.close();
  ASSERT_EQ(run.open(folder.path, GetParam()), GYR_OK);
  auto let_go = [&] {
    std::lock_guard lock(hold.mutex);
    hold.go = true;
    hold.changed.notify_all();
  };
  {
    std::lock_guard lock(hold.mutex);
    hold.armed = true;
  }
  std::thread checkpoint([&] { EXPECT_EQ(run.checkpoint(), GYR_OK); });
  {
    std::unique_lock lock(hold.mutex);
    hold.changed.wait(lock, [&] { return hold.held; });
  }
  auto asked = std::async(std::launch::async, [&] {
    gyr_table_log_info info{};
    info.struct_size = sizeof info;
    gyr_error err = GYR_ERROR_INIT;
    return gyr_table_get_log_info(run.table, &info, &err);
  });
  EXPECT_EQ(asked.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  let_go();
  checkpoint.join();
  EXPECT_EQ(asked.get(), GYR_OK);
}

// Research section 9: power loss. Every disk that the recorded operations allow at every moment.
TEST_P(LiveFaults, PowerLossAtEveryOperation) {
  Folder work(true);
  std::vector<Event> events;
  Progress end;
  {
    Recorder recorder(true);
    LiveRun run;
    end = run_script(&run, work.path, GetParam(), [&](const Progress& now) {
      recorder.acked = int(now.acked);
      recorder.begun = int(now.begun);
    });
    ASSERT_TRUE(end.all_ok) << run.err.message;
    run.close();
    events = recorder.events;
  }
  size_t states = 0, lost = 0;
  LiveRun again;
  // Before event i: what was answered by then is what the event saw, or a little more: never less.
  for (auto& crash : crashes(events, {}, size_t(-1))) {
    SCOPED_TRACE("power off before operation " + std::to_string(crash.at) + " of " + std::to_string(events.size()));
    bool over = crash.at == events.size();
    int64_t least = over ? (GetParam() == GYR_DURABILITY_NONE ? end.acked : kChanges) : events[crash.at].acked;
    int64_t most = over ? kChanges : events[crash.at].begun;
    Folder disk(true);
    for (auto& [name, text] : crash.disk) spill(disk.file(name), text);
    ASSERT_EQ(again.open(disk.path, GetParam()), GYR_OK) << again.err.message;
    ASSERT_GE(again.changes_there(least, most), 0) << least << " to " << most;
    lost += again.changes_there(least, least) >= 0;
    again.close();
    states++;
  }
  EXPECT_GT(states, GetParam() == GYR_DURABILITY_NONE ? 8u : 100u);
  EXPECT_GT(lost, 0u);
  std::printf("%zu states of the disk\n", states);
}

// Research section 9: async. Nobody asks for a flush; what is older than the interval is there all the same.
TEST(LivePower, AsyncLosesNoMoreThanTheFlushInterval) {
  Folder work(true);
  std::vector<Event> events;
  {
    Recorder recorder(true);
    LiveRun run;
    ASSERT_EQ(run.open(work.path, GYR_DURABILITY_ASYNC), GYR_OK) << run.err.message;
    for (int i = 1; i <= 20; i++) {
      recorder.begun = i;
      ASSERT_EQ(run.change(i), GYR_OK) << run.err.message;
      if (i % 5) continue;
      gyr_table_log_info info{};
      info.struct_size = sizeof info;
      for (int wait = 0; wait < 30'000 && info.durable_lsn < info.last_lsn + (wait == 0); wait++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ASSERT_EQ(gyr_table_get_log_info(run.table, &info, &run.err), GYR_OK);
      }
      ASSERT_EQ(info.durable_lsn, info.last_lsn) << "nothing was flushed by itself";
      recorder.acked = i;
    }
    std::lock_guard lock(recorder.events_mutex());
    events = recorder.events;
  }
  LiveRun again;
  bool lost = false;
  for (auto& crash : crashes(events, {}, size_t(-1))) {
    bool over = crash.at == events.size();
    Folder disk(true);
    for (auto& [name, text] : crash.disk) spill(disk.file(name), text);
    ASSERT_EQ(again.open(disk.path, GYR_DURABILITY_ASYNC), GYR_OK) << again.err.message;
    int64_t n = again.changes_there(over ? 20 : events[crash.at].acked, over ? 20 : events[crash.at].begun);
    ASSERT_GE(n, 0) << "power off before operation " << crash.at;
    lost |= !over && n < events[crash.at].begun;
    again.close();
  }
  EXPECT_TRUE(lost) << "what is younger may be lost";
}

// What a checkpoint meets of changes made meanwhile is in the log before the snapshot is in its place.
TEST(LivePower, ChangesDuringACheckpointAreWholeOrNotThere) {
  Folder work(true);
  std::vector<Event> events;
  {
    Recorder recorder(true);
    LiveRun run;
    run.flush_us = 200'000;  // only checkpoints flush
    ASSERT_EQ(run.open(work.path, GYR_DURABILITY_ASYNC, 1 << 20), GYR_OK) << run.err.message;
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      for (int i = 1; i <= 3000 && !stop; i++) {
        recorder.begun = i;
        EXPECT_EQ(run.change(i), GYR_OK);
      }
    });
    for (int round = 0; round < 6; round++) {
      for (int most = std::min(recorder.begun + 20, 3000); recorder.begun < most;) std::this_thread::yield();
      int before = recorder.begun - 1;
      gyr_error err = GYR_ERROR_INIT;
      EXPECT_EQ(gyr_table_checkpoint(run.table, nullptr, &err), GYR_OK) << err.message;
      recorder.acked = std::max(0, before);
    }
    stop = true;
    writer.join();
    run.close();
    events = recorder.events;
  }
  LiveRun again;
  int between = 0;
  for (auto& crash : crashes(events, {}, size_t(-1))) {
    if (crash.at == events.size()) break;
    const Event& e = events[crash.at];
    SCOPED_TRACE("power off before operation " + std::to_string(crash.at) + " of " + std::to_string(events.size()));
    Folder disk(true);
    for (auto& [name, text] : crash.disk) spill(disk.file(name), text);
    ASSERT_EQ(again.open(disk.path, GYR_DURABILITY_ASYNC), GYR_OK) << again.err.message;
    // The counter tells how many, or one less than they are.
    auto state = again.state();
    int64_t n = state.contains(LiveChanges::kCounter) ? state[LiveChanges::kCounter] : 0;
    ASSERT_TRUE(state == LiveChanges::after(n) || state == LiveChanges::after(n + 1)) << n;
    ASSERT_GE(n + 1, e.acked);
    ASSERT_LE(n, e.begun);
    between += n > e.acked;
    again.close();
  }
  EXPECT_GT(between, 0);
}

// The model and the log's flushes: without them, changes that were answered are missing.
TEST(LivePower, MissingFlushesAreFoundOut) {
  Folder work(true);
  Recorder recorder(true);
  LiveRun run;
  ASSERT_TRUE(run_script(&run, work.path, GYR_DURABILITY_SYNC, [&](const Progress& now) {
                recorder.acked = int(now.acked);
                recorder.begun = int(now.begun);
              }).all_ok);
  run.close();
  auto events = recorder.events;
  file_watch = nullptr;
  for (FileOp op : {FileOp::kSyncData, FileOp::kSyncFolder}) {
    auto without = events;
    std::erase_if(without, [&](auto& e) { return e.op == op; });
    // Names that no flush fixes are too many to be tried in all combinations: up to the first checkpoint.
    std::erase_if(without, [](auto& e) { return e.begun > 6; });
    int wrong = 0;
    LiveRun again;
    for (auto& crash : crashes(without, {}, size_t(-1))) {
      bool over = crash.at == without.size();
      int64_t least = over ? without.back().acked : without[crash.at].acked;
      Folder disk(true);
      for (auto& [name, text] : crash.disk) spill(disk.file(name), text);
      if (again.open(disk.path, GYR_DURABILITY_SYNC) != GYR_OK || again.changes_there(least, kChanges) < 0) wrong++;
      again.close();
    }
    EXPECT_GT(wrong, 0) << int(op);
  }
}

#endif

}  // namespace
}  // namespace gyr::test
