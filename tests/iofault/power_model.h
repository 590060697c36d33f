// What a power cut may leave of recorded file operations. What is not flushed may be there, missing, torn or zeros;
// what happened to the folder since its last flush may have arrived in any combination.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "tests/iofault/objects.h"
#include "tests/support/file_faults.h"

#ifdef GYR_FAULTS

namespace gyr::test {

struct Event {
  FileOp op;
  int file = -1;             // number of the new file
  std::string data;          // written
  std::string name, to;      // last part of the path
  size_t size = 0;           // reserved or cut to
  int acked = 0, begun = 0;  // changes that were answered, and begun, when it happened
};

inline std::string base_name(const char* path) { return fs::path(path).filename(); }

class Recorder final : public FileWatch {
 public:
  explicit Recorder(bool unnamed) : unnamed_(unnamed) { file_watch = this; }
  ~Recorder() override { file_watch = nullptr; }
  Recorder(const Recorder&) = delete;
  std::vector<Event> events;
  std::atomic<int> acked{0}, begun{0};

  std::mutex& events_mutex() { return mutex_; }  // while another thread may still write

  FileVerdict before(const FileCall& call) override {
    if (call.op == FileOp::kCreateUnnamed && !unnamed_) return {false, 0, EOPNOTSUPP};
    return {};
  }
  void after(const FileCall& c, bool ok, ptrdiff_t result) override {
    if (!ok) return;
    std::lock_guard lock(mutex_);  // a log's thread comes here, too
    Event e{c.op, -1, "", base_name(c.path), c.to ? base_name(c.to) : "", c.size, acked, begun};
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
      case FileOp::kSyncData:
      case FileOp::kAllocate:
      case FileOp::kTruncate:
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
  std::mutex mutex_;
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
        files_[size_t(e_file(e))].write(e.data);
        break;
      case FileOp::kAllocate: {
        FileState& f = files_[size_t(e_file(e))];
        f.now.resize(std::max(f.now.size(), e.size));
        break;
      }
      case FileOp::kTruncate:
        files_[size_t(e_file(e))].now.resize(e.size);
        break;
      case FileOp::kSync:
      case FileOp::kSyncData:
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
    size_t at = 0;  // where the next write goes
    void write(const std::string& bytes) {
      now.resize(std::max(now.size(), at + bytes.size()));
      now.replace(at, bytes.size(), bytes);
      at += bytes.size();
    }
  };
  struct Change {
    std::string name;
    int file;  // -1: the name goes
  };
  static constexpr int kDamages = 6;
  static constexpr size_t kSector = 512;

  // What has become of the bytes that were not flushed.
  static std::string damaged(const FileState& f, int how) {
    if (how == 0) return f.durable;
    if (how == 1) return f.now;
    size_t size = std::max(f.durable.size(), f.now.size());
    std::string before = f.durable + std::string(size - f.durable.size(), '\0');  // the size arrived, the bytes did not
    std::string after = f.now + std::string(size - f.now.size(), '\0');
    std::vector<size_t> changed;
    for (size_t at = 0; at < size; at += kSector)
      if (before.compare(at, kSector, after, at, kSector) != 0) changed.push_back(at);
    for (size_t i = 0; i < changed.size(); i++) {
      bool arrived = how == 3 ? i < changed.size() / 2 : how == 4 ? i % 2 == 0 : how == 5 && i + 1 == changed.size();
      if (arrived) before.replace(changed[i], kSector, after.substr(changed[i], kSector));
    }
    return before;
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
    files_.push_back({durable, now, 0});
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

struct Crash {
  size_t at;  // before this event
  Disk disk;
};

// Every disk once before the first save has returned, when it has, and later.
inline std::vector<Crash> crashes(const std::vector<Event>& events, const Disk& start, size_t half) {
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

}  // namespace gyr::test

#endif
