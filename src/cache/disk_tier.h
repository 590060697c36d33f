// Rows in a folder of segments, newer ones over older ones, with an index in memory: the tier that gyr brings itself.
// Rows that are put are collected in memory and written as a segment when there are enough of them.
#pragma once

#include <gyr/cache.h>

#include <atomic>
#include <functional>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "cache/segment.h"
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
  // Without io_uring (tests).
  void read_plainly() { uring_ = false; }

  // For whoever keeps this alive meanwhile: there is no close.
  gyr_cache_tier callbacks();

 private:
  // Rows of one number: first in memory, then as a file of the same order.
  struct Source {
    std::vector<int64_t> keys;
    std::vector<uint8_t> rows;
    std::unordered_set<int64_t> removed;
    std::unique_ptr<Segment> segment;
  };
  struct Place {
    uint32_t source, ordinal;
  };
  struct Wanted {
    const Segment* segment;
    uint64_t page;
    uint32_t ordinal;
    size_t i;
    bool same_page(const Wanted& other) const { return segment == other.segment && page == other.page; }
  };

  DiskTier(std::pmr::memory_resource* memory, std::string folder, uint32_t row_bytes, uint64_t segment_bytes);
  Status load();
  std::string path_of(uint32_t source) const;
  Source& tail() { return *sources_.back(); }
  void set_place(int64_t key, Place place);
  void read_pages(std::vector<Wanted>* wanted, uint8_t* rows, uint8_t* found);
  void take_page(const Wanted* first, const Wanted* end, const uint8_t* page, uint8_t* rows, uint8_t* found);
  void leave_out_damaged(std::vector<Wanted>* wanted, uint8_t* found);
  void is_damaged(const Wanted& wanted);
  std::unique_ptr<PageReader> take_reader();
  Status write_tail();
  Status try_write_tail();
  bool tail_is_full();
  Status note(Status status);

  const std::string folder_;
  File lock_;  // of the folder, while this has it
  const PageLayout layout_;
  const size_t rows_in_memory_, removals_in_memory_;
  std::atomic<bool> uring_{true};
  KeyedRows index_;  // key -> Place
  // Written under writers_ and mutex_ both; so a writer may read them under its own lock alone.
  mutable std::shared_mutex mutex_;
  std::vector<std::unique_ptr<Source>> sources_;  // never fewer; the last one is being filled
  std::mutex writers_;
  mutable std::mutex failure_mutex_;
  Status failure_;
  std::function<void(size_t rows, const char* why)> on_loss_;
  // Pages that were not what had been written: read no more until the folder is opened again.
  std::mutex damaged_mutex_;
  std::set<std::pair<const Segment*, uint64_t>> damaged_;
  std::function<void(const std::string& path, uint64_t page)> on_damage_;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<PageReader>> readers_;
};

}  // namespace gyr
