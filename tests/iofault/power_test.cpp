// Power fails at any moment of a save: the file operations are recorded, and every state of the disk that they allow is
// built in a scratch folder. What is not flushed may be there, missing, torn or zeros; what happened to the folder
// since its last flush may have arrived in any combination.
#include <map>
#include <set>

#include "tests/iofault/objects.h"
#include "tests/support/file_faults.h"

namespace gyr::test {
namespace {

#ifdef GYR_FAULTS

struct Event {
  FileOp op;
  int file = -1;         // number of the new file
  std::string data;      // written
  std::string name, to;  // last part of the path
};

std::string base_name(const char* path) { return fs::path(path).filename(); }

class Recorder final : public FileWatch {
 public:
  explicit Recorder(bool unnamed) : unnamed_(unnamed) { file_watch = this; }
  ~Recorder() override { file_watch = nullptr; }
  Recorder(const Recorder&) = delete;
  std::vector<Event> events;

  FileVerdict before(const FileCall& call) override {
    if (call.op == FileOp::kCreateUnnamed && !unnamed_) return {false, 0, EOPNOTSUPP};
    return {};
  }
  void after(const FileCall& c, bool ok, ptrdiff_t result) override {
    if (!ok) return;
    Event e{c.op, -1, "", base_name(c.path), c.to ? base_name(c.to) : ""};
    switch (c.op) {
      case FileOp::kCreate:
      case FileOp::kCreateUnnamed:
        e.file = file_of_[int(result)] = files_++;
        break;
      case FileOp::kWrite:
        e.data.assign(static_cast<const char*>(c.data), size_t(result));
        [[fallthrough]];
      case FileOp::kLink:
      case FileOp::kSync:
        e.file = file_of_.at(c.fd);
        break;
      case FileOp::kRename:
      case FileOp::kUnlink:
      case FileOp::kSyncFolder:
        break;
      default:
        return;
    }
    if (c.op == FileOp::kLink && !c.to) return;
    events.push_back(std::move(e));
  }

 private:
  const bool unnamed_;
  int files_ = 0;
  std::map<int, int> file_of_;  // by descriptor
};

using Disk = std::map<std::string, std::string>;  // name -> content

// The disk as the kernel has it in memory and as it is sure to be after a crash.
class Model {
 public:
  explicit Model(Disk durable) {
    for (auto& [name, text] : durable) names_[name] = add(text, text);
  }

  void apply(const Event& e) {
    switch (e.op) {
      case FileOp::kCreate:
        pending_.push_back({e.name, e_file(e)});
        break;
      case FileOp::kCreateUnnamed:
        e_file(e);
        break;
      case FileOp::kWrite:
        files_[size_t(e_file(e))].now += e.data;
        break;
      case FileOp::kSync:
        files_[size_t(e_file(e))].durable = files_[size_t(e_file(e))].now;
        break;
      case FileOp::kLink:
        pending_.push_back({e.to, e_file(e)});
        break;
      case FileOp::kRename:
        pending_.push_back({e.to, look_up(e.name)});
        pending_.push_back({e.name, -1});
        break;
      case FileOp::kUnlink:
        pending_.push_back({e.name, -1});
        break;
      case FileOp::kSyncFolder:
        for (auto& change : pending_) put(&names_, change);
        pending_.clear();
        break;
      default:
        break;
    }
  }

  // Every disk that a crash now may leave.
  std::set<Disk> states() const {
    std::set<Disk> out;
    for (uint32_t subset = 0; subset < 1u << pending_.size(); subset++) {
      auto names = names_;
      for (size_t i = 0; i < pending_.size(); i++)
        if (subset >> i & 1) put(&names, pending_[i]);
      for (int damage = 0; damage < kDamages; damage++) {
        Disk disk;
        for (auto& [name, file] : names) disk[name] = damaged(files_[size_t(file)], damage);
        out.insert(std::move(disk));
      }
    }
    return out;
  }

 private:
  struct FileState {
    std::string durable, now;
  };
  struct Change {
    std::string name;
    int file;  // -1: the name goes
  };
  static constexpr int kDamages = 6;
  static constexpr size_t kSector = 512;

  // What has become of the bytes that were not flushed.
  static std::string damaged(const FileState& f, int how) {
    size_t from = f.durable.size(), size = f.now.size();
    std::string zeros = f.durable + std::string(size - from, '\0');
    if (how == 0) return f.durable;
    if (how == 1) return f.now;
    if (how == 2) return zeros;  // the size arrived, the bytes did not
    if (how == 3) return f.now.substr(0, std::max(from, size / 2 / kSector * kSector));
    for (size_t at = 0; at < size; at += kSector)
      if (at >= from && (how == 4 ? at / kSector % 2 == 0 : at + kSector >= size))
        zeros.replace(at, kSector, f.now.substr(at, kSector));
    return zeros.substr(0, size);
  }
  static void put(std::map<std::string, int>* names, const Change& c) {
    if (c.file < 0)
      names->erase(c.name);
    else
      (*names)[c.name] = c.file;
  }
  int look_up(const std::string& name) const {
    auto all = names_;
    for (auto& change : pending_) put(&all, change);
    return all.at(name);
  }
  int add(const std::string& durable, const std::string& now) {
    files_.push_back({durable, now});
    return int(files_.size()) - 1;
  }
  // The recording counts its files from 0; those that were there before come first here.
  int e_file(const Event& e) {
    auto it = of_event_.find(e.file);
    return it != of_event_.end() ? it->second : of_event_[e.file] = add("", "");
  }

  std::vector<FileState> files_;
  std::map<std::string, int> names_;  // sure to be on disk
  std::vector<Change> pending_;
  std::map<int, int> of_event_;
};

constexpr const char* kName = "file.gyr";

struct Crash {
  size_t at;  // before this event
  Disk disk;
};

// Every disk once before the first save has returned, when it has, and later.
std::vector<Crash> crashes(const std::vector<Event>& events, const Disk& start, size_t half) {
  std::vector<Crash> out;
  std::set<Disk> seen;
  Model model(start);
  for (size_t i = 0;; i++) {
    if (i == half || i == half + 1 || i == events.size()) seen.clear();
    for (auto& disk : model.states())
      if (seen.insert(disk).second) out.push_back({i, disk});
    if (i == events.size()) return out;
    model.apply(events[i]);
  }
}

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
        ASSERT_GE(half_, 8u);
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
