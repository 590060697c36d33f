// Rows in a folder of segments, newer ones over older ones, with an index in memory: the tier that gyr brings itself.
// Rows that are put are collected in memory and written as a segment when there are enough of them. Segments that are
// small, or hold more dead rows than live ones, are merged with their neighbours right after that, by whoever writes.
// disk_tier.cpp serves; disk_files.cpp keeps the files.
#pragma once

#include <gyr/cache.h>

#include <atomic>
#include <functional>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "cache/segment.h"
#include "cache/segment_list.h"
#include "io/page_reader.h"
#include "store/row_store.h"

namespace gyr {

class DiskTier {
 public:
  // Makes the folder when it is not there. segment_bytes: of rows that wait in memory.
  static Result<std::unique_ptr<DiskTier>> open(std::pmr::memory_resource* memory, const std::string& folder,
                                                uint32_t row_bytes, uint64_t segment_bytes);
  ~DiskTier();  // writes what waits
  DiskTier(const DiskTier&) = delete;
  DiskTier& operator=(const DiskTier&) = delete;

  void fetch(const int64_t* keys, size_t n, uint8_t* rows, uint8_t* found);
  Status put(const int64_t* keys, const uint8_t* rows, size_t n);
  Status remove(const int64_t* keys, size_t n);
  Status flush();
  // Why a write failed last.
  Status failure() const;
  // Rows that no file has yet, newest last. False where removals wait as well: who saves the rows elsewhere would bring
  // back what they removed.
  bool waiting(std::vector<int64_t>* keys, std::vector<uint8_t>* rows);
  // Who is told of rows that could not be written in the end. Before the first put.
  void on_loss(std::function<void(size_t rows, const char* why)> tell) { on_loss_ = std::move(tell); }
  uint64_t rows() const { return index_.size(); }
  // Who is told of each page that is found damaged, once. Before the first fetch.
  void on_damage(std::function<void(const std::string& path, uint64_t page)> tell) { on_damage_ = std::move(tell); }
  // Who is told of each file that is left out of merging, once. Before the first put.
  void on_left_alone(std::function<void(const std::string& path, const char* why)> tell) {
    on_left_alone_ = std::move(tell);
  }
  // Without io_uring (tests).
  void read_plainly() { uring_ = false; }

  // For whoever keeps this alive meanwhile: there is no close.
  gyr_cache_tier callbacks();

 private:
  // First in memory, then a file of the same order.
  struct Source {
    std::vector<int64_t> keys;
    std::vector<uint8_t> rows;
    std::unordered_set<int64_t> removed;
    std::shared_ptr<const Segment> segment;
    uint32_t number = 0;      // of its file
    uint64_t live = 0;        // rows that the index leads to
    bool trimmed = false;     // an older file has each of the keys that it removes
    bool left_alone = false;  // a merge could not read it: it stays as it is until the folder is opened again
  };
  // sources_[source], and the row there.
  struct Place {
    uint32_t source, ordinal;
    bool operator==(const Place&) const = default;
  };
  // Of order_: [begin, end).
  struct Run {
    size_t begin, end;
  };
  struct Merged;
  struct Wanted {
    std::shared_ptr<const Segment> segment;  // may be merged away meanwhile
    uint32_t number;
    uint64_t page;
    uint32_t ordinal;
    size_t i;
    bool same_page(const Wanted& other) const { return number == other.number && page == other.page; }
  };

  DiskTier(std::pmr::memory_resource* memory, std::string folder, uint32_t row_bytes, uint64_t segment_bytes);
  std::string path_of(uint32_t number) const;
  Source& tail() { return *sources_[order_.back()]; }
  // Under mutex_, shared.
  std::optional<Place> place_of(int64_t key) const;
  // Under mutex_.
  void point(int64_t key, Place place);
  void forget(int64_t key);
  uint32_t add_source(std::unique_ptr<Source> source);
  void read_pages(std::vector<Wanted>* wanted, uint8_t* rows, uint8_t* found);
  void take_page(const Wanted* first, const Wanted* end, const uint8_t* page, uint8_t* rows, uint8_t* found);
  void leave_out_damaged(std::vector<Wanted>* wanted, uint8_t* found);
  void is_damaged(const Wanted& wanted);
  std::unique_ptr<PageReader> take_reader();
  bool tail_is_full();
  Status note(Status status);

  Status load();
  Status load_segment(const ListedSegment& listed);
  Status remove_unlisted(const std::vector<uint32_t>& numbers);
  std::vector<ListedSegment> listed(Run without) const;
  // Under writers_.
  Status write_tail();
  Status try_write_tail();
  uint32_t take_number();
  Status write_list(std::span<const ListedSegment> list);
  void remove_abandoned();
  double fill(const Source& source) const;
  uint64_t rows_before(size_t file) const;
  Run free_run() const;
  Run small_run() const;
  Run wasteful_run() const;
  Status merge_segments();
  Status merge(Run run);
  Status collect(Run run, Merged* merged);
  void trim(Run run, Merged* merged) const;
  void leave_alone(uint32_t source, const Status& why);
  Status read_rows(const Merged& merged, uint64_t first, uint64_t n, uint8_t* rows);
  void take_over(Run run, const Merged& merged, std::unique_ptr<Source> source);
  void drop(const std::vector<uint32_t>& sources);

  const std::string folder_;
  File lock_;  // of the folder, while this has it
  const PageLayout layout_;
  const size_t rows_in_memory_, removals_in_memory_;
  std::atomic<bool> uring_{true};
  KeyedRows index_;  // key -> Place
  // Written under writers_ and mutex_ both; so a writer may read them under its own lock alone.
  mutable std::shared_mutex mutex_;
  std::vector<std::unique_ptr<Source>> sources_;  // null: free
  std::vector<uint32_t> order_;                   // the sources from oldest to newest; the last one is being filled
  uint32_t next_number_ = 0;                      // none is used twice, whatever becomes of its file
  std::vector<uint32_t> abandoned_;  // numbers whose files are of no use, once a list without them is written
  uint32_t merges_paused_ = 0, next_pause_ = 1;  // writes without a merge, after one that failed
  std::mutex writers_;
  mutable std::mutex failure_mutex_;
  Status failure_;
  std::function<void(size_t rows, const char* why)> on_loss_;
  std::function<void(const std::string& path, const char* why)> on_left_alone_;
  // Pages that were not what had been written: read no more until the folder is opened again.
  std::mutex damaged_mutex_;
  std::set<std::pair<uint32_t, uint64_t>> damaged_;  // number of the file, page
  std::function<void(const std::string& path, uint64_t page)> on_damage_;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<PageReader>> readers_;
};

}  // namespace gyr
