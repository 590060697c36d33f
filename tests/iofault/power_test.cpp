// Power fails at any moment of a save: the file operations are recorded, and every state of the disk that they allow is
// built in a scratch folder. What is not flushed may be there, missing, torn or zeros; what happened to the folder
// since its last flush may have arrived in any combination.
#include "tests/iofault/power_model.h"

namespace gyr::test {
namespace {

#ifdef GYR_FAULTS

constexpr const char* kName = "file.gyr";

// Its content under kName; "" = no file.
std::string found(const Disk& disk) {
  auto it = disk.find(kName);
  return it == disk.end() ? "" : it->second;
}

class Power : public testing::Test {
 protected:
  // Saves twice, over an older file or none, and records it.
  void record(size_t kind, bool had_old, bool unnamed) {
    Folder work(true);
    std::string path = work.file(kName);
    start_.clear();
    if (had_old) start_[kName] = contents_[kind].before;
    if (had_old) spill(path, contents_[kind].before);
    Recorder recorder(unnamed);
    o_.must(file_kinds()[kind].save_old(o_, path.c_str(), &o_.err));
    first_ = slurp(path);
    half_ = recorder.events.size();
    o_.set_version(++version_);
    o_.must(file_kinds()[kind].save(o_, path.c_str(), &o_.err));
    second_ = slurp(path);
    events_ = recorder.events;
  }

  Folder folder_{true};
  Objects o_{saved()};
  std::vector<Contents> contents_ = save_all(o_, folder_);
  Disk start_;
  std::vector<Event> events_;
  std::string first_, second_;
  size_t half_ = 0;  // events of the first save
  int64_t version_ = 2;

 private:
  std::string saved() {
    std::string path = folder_.file("base.gyr");
    world().save(path);
    return path;
  }
};

TEST_F(Power, EveryStateHoldsTheOldOrTheNewFile) {
  size_t states = 0;
  for (size_t k = 0; k < file_kinds().size(); k++)
    for (bool had_old : {true, false})
      for (bool unnamed : {true, false}) {
        const FileKind& kind = file_kinds()[k];
        SCOPED_TRACE(std::string(kind.name) + (had_old ? "" : ", first save") + (unnamed ? "" : ", no unnamed files"));
        record(k, had_old, unnamed);
        ASSERT_GE(half_, 7u);
        std::string none_or_old = had_old ? contents_[k].before : "";
        for (auto& crash : crashes(events_, start_, half_)) {
          SCOPED_TRACE("power off before operation " + std::to_string(crash.at));
          Folder disk(true);
          for (auto& [name, text] : crash.disk) spill(disk.file(name), text);
          std::string path = disk.file(kName), now = found(crash.disk);
          bool good = now == first_ || (crash.at < half_ && now == none_or_old) || (crash.at > half_ && now == second_);
          if (crash.at == half_) good = now == first_;            // that save has returned
          if (crash.at == events_.size()) good = now == second_;  // and that one
          ASSERT_TRUE(good) << now.size() << " bytes";
          gyr_status s = kind.open(o_, path.c_str(), &o_.err);
          ASSERT_EQ(s, crash.disk.contains(kName) ? GYR_OK : GYR_E_NOT_FOUND) << o_.err.message;
          // What else lies there confuses nobody.
          ASSERT_EQ(kind.save(o_, path.c_str(), &o_.err), GYR_OK) << o_.err.message;
          ASSERT_EQ(slurp(path), second_);
          states++;
        }
      }
  EXPECT_GT(states, 500u);
  std::printf("%zu states of the disk\n", states);
}

// The model itself: a save that flushed nothing, or not the folder, is found out.
TEST_F(Power, MissingFlushesAreFoundOut) {
  constexpr size_t kTable = 1;
  record(kTable, true, true);
  auto without = [&](FileOp op) {
    auto events = events_;
    std::erase_if(events, [&](auto& e) { return e.op == op; });
    return events;
  };
  int torn = 0, lost = 0;
  for (auto& crash : crashes(without(FileOp::kSync), start_, 0)) {
    std::string now = found(crash.disk);
    if (now == first_ || now == second_ || now == contents_[kTable].before) continue;
    std::string path = folder_.file("torn.gyr");
    spill(path, now);
    torn++;
    ASSERT_EQ(gyr_status(file_kinds()[kTable].open(o_, path.c_str(), &o_.err)), GYR_E_CORRUPT);  // and never opened
  }
  auto unsafe = without(FileOp::kSyncFolder);
  for (auto& crash : crashes(unsafe, start_, 0)) lost += crash.at == unsafe.size() && found(crash.disk) != second_;
  EXPECT_GT(torn, 3);
  EXPECT_GT(lost, 0);
}

#endif

}  // namespace
}  // namespace gyr::test
