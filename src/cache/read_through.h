// A cache's way to the tier below it. Keys that several calls miss at once are fetched once; fetches that somebody may
// not wait for run on threads of ours; a tier that keeps failing is left alone and tried in the background.
//
// A fetched row stays in memory only if nothing was written under its key since the fetch began: writes and the keeping
// of fetched rows exclude each other here.
#pragma once

#include <gyr/cache.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "exec/own_threads.h"

namespace gyr {

class ReadThrough {
 public:
  enum State : uint8_t { kAbsent = GYR_TIER_ABSENT, kFound = GYR_TIER_FOUND, kError = GYR_TIER_ERROR, kLate = 3 };
  static constexpr int64_t kForever = INT64_MAX;

  struct Options {
    gyr_cache_tier tier;
    std::function<Status()> why;  // a write failed, where the tier is ours; null: it is the host's
    uint32_t row_bytes;
    uint32_t failures;
    int64_t retry_ns;
    uint32_t threads;
  };
  // What the cache does with rows that were fetched, and whether it takes what they hold. Called under the lock of
  // this; an exception only means that the rows do not stay.
  struct Cache {
    std::function<void(const int64_t* keys, const uint8_t* rows, size_t n, bool all)> keep;
    std::function<bool(const uint8_t* row)> sound;
  };
  static Result<std::unique_ptr<ReadThrough>> start(const Options& options, Cache cache);
  ~ReadThrough();  // waits for callbacks, then closes the tier if it is its own
  ReadThrough(const ReadThrough&) = delete;
  ReadThrough& operator=(const ReadThrough&) = delete;
  // Leaves threads and tier lying: for a forked child, where neither exists.
  static void abandon(std::unique_ptr<ReadThrough> tier) { (void)tier.release(); }

  // Distinct keys. states[i] is a State, rows + i * row_bytes the row where it is kFound. Waits until `deadline_ns`
  // (monotonic; kForever: as long as it takes; 0: not at all). keep_all: without asking the admission.
  void fetch(const int64_t* keys, size_t n, int64_t deadline_ns, bool keep_all, uint8_t* states, uint8_t* rows);

  bool takes_rows() const { return tier_.put != nullptr; }
  // Has the tier take rows (or drop them: rows null), then calls store(first, m, mixed) for the cache to do the same
  // with m keys from `first` on, some at a time. mixed[i] is set where another write of keys[first + i] was under way:
  // nobody knows which of both the tier holds now. Not called when the tier fails.
  using Store = std::function<Status(size_t first, size_t m, const std::vector<bool>& mixed)>;
  Status write(const int64_t* keys, const uint8_t* rows, size_t n, const Store& store);
  bool down() const;
  // From here on the tier is closed in the end: a cache that could not be made leaves it to the host.
  void own() { owned_ = true; }

 private:
  struct Flight {
    std::vector<int64_t> keys;
    std::vector<uint8_t> rows, states;
    std::vector<bool> stale;  // written to since
    int64_t deadline_ns = 0;
    bool keep_all = false, inside = false, done = false;  // inside: the tier is being asked
  };
  struct Place {
    std::shared_ptr<Flight> flight;
    size_t at;
  };
  struct Writers {
    uint32_t now = 0;
    bool mixed = false;
  };

  ReadThrough(const Options& options, Cache cache);
  bool join(const int64_t* keys, size_t n, bool here, const std::shared_ptr<Flight>& mine, std::vector<Place>* places);
  void landed(const Flight& flight);
  void run(const std::shared_ptr<Flight>& flight);
  void finish(Flight* flight, gyr_status status, bool too_late);
  void give_up(Flight* flight);
  void note(gyr_status status, int64_t key);
  void note_in_vain(const Flight& flight, int64_t began_ns);
  void work();
  std::unique_lock<std::mutex> lock_soon() const;
  template <class Some>
  void in_pieces(size_t n, Some&& some);
  void writing(std::span<const int64_t> keys);
  void not_writing(std::span<const int64_t> keys);
  void written(std::span<const int64_t> keys, std::vector<bool>* mixed);

  Status refused(const char* what, size_t n, gyr_status status) const;

  const gyr_cache_tier tier_;
  const std::function<Status()> why_;
  const uint32_t row_bytes_, failures_;
  const int64_t retry_ns_;
  const Cache cache_;
  bool owned_ = false;

  mutable std::mutex mutex_;
  mutable std::atomic<uint32_t> waiting_{0};  // in lock_soon()
  std::condition_variable wake_, done_;
  std::unordered_map<int64_t, Place> flying_;
  std::unordered_map<int64_t, Writers> writing_;
  std::deque<std::shared_ptr<Flight>> queue_;
  uint32_t inside_ = 0;        // threads of ours that the tier has
  uint32_t failed_ = 0;        // in a row
  int64_t in_vain_at_ns_ = 0;  // when a wait was last counted that had ended without an answer
  bool down_ = false, stop_ = false;
  int64_t probe_at_ns_ = 0, probe_key_ = 0;
  bool probing_ = false;
  OwnThreads threads_;
};

}  // namespace gyr
