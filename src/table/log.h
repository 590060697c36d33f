// A live table's log: records queued by writers, written and flushed in groups by a thread of its own.
#pragma once

#include <condition_variable>
#include <mutex>

#include "exec/own_threads.h"
#include "io/file.h"
#include "table/log_format.h"

namespace gyr {

class TableLog {
 public:
  struct Segment {
    uint64_t first_lsn, last_lsn, bytes;
  };
  struct Options {
    std::string folder;
    uint64_t table_id, last_lsn;
    bool sync;  // flush() is called for every record, so a group need not wait
    int64_t flush_ns;
    uint64_t segment_bytes, queue_bytes;
    std::vector<Segment> segments;  // there already, oldest first
  };
  struct Info {
    uint64_t last_lsn, durable_lsn, bytes, segments;
    bool poisoned;
  };

  static Result<std::unique_ptr<TableLog>> start(Options options);
  ~TableLog();  // what is queued is on disk, or lost and nobody to tell
  TableLog(const TableLog&) = delete;
  TableLog& operator=(const TableLog&) = delete;

  // Waits for room in the queue, or takes it whether it is there or not; IO when the log has failed. The room is given
  // back by append() or release().
  Status reserve(const LogRecord& record, bool wait = true);
  void release(const LogRecord& record) noexcept;
  // Numbers the record and queues it. Callers keep the order.
  uint64_t append(std::unique_ptr<LogRecord> record) noexcept;
  uint64_t last_lsn() const;
  // Everything up to `lsn` is on disk when it returns OK. end_segment: and no later record is in the same segment.
  // After OUT_OF_MEMORY it is not yet, and the log goes on trying.
  Status flush(uint64_t lsn, bool end_segment = false);
  // Removes segments that hold nothing above `lsn`, oldest first. What cannot be removed stays for the next time.
  void drop(uint64_t lsn);
  Info info() const;

 private:
  explicit TableLog(Options options) : options_(std::move(options)) {}
  void work();
  bool due(int64_t now) const;
  void write_group(std::unique_lock<std::mutex>& lock);
  Status write_records(LogRecord** next, uint64_t durable, bool sync, bool end_segment);
  Status open_segment(uint64_t first_lsn, uint64_t room);
  Status close_segment();
  Status put_mark();
  void mark_when_idle(std::unique_lock<std::mutex>& lock);
  Status put(const void* bytes, uint64_t size);
  Status write_staged();
  void poison(Status why);
  std::string path(uint64_t first_lsn) const { return options_.folder + "/" + segment_name(first_lsn); }
  Status poisoned() const;

  const Options options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, room_, done_;
  LogRecord *first_ = nullptr, *last_ = nullptr;  // the queue
  uint64_t queued_bytes_ = 0, reserved_bytes_ = 0;
  uint64_t last_lsn_ = 0, durable_lsn_ = 0, wanted_lsn_ = 0;
  int64_t oldest_ns_ = 0;  // nothing that is not on disk was queued before
  bool end_segment_ = false, stop_ = false, failed_ = false;
  Status failure_;
  std::vector<Segment> segments_;  // closed ones, oldest first
  uint64_t segment_used_ = 0;      // of the open one, 0 = none
  uint64_t waiting_ = 0;           // writers, for room
  uint64_t without_memory_ = 0;    // groups that could not be written for want of it

  // The thread's own.
  File segment_;
  uint64_t segment_first_ = 0, segment_limit_ = 0, used_ = 0, put_lsn_ = 0, marked_lsn_ = 0;
  std::vector<uint8_t> staged_;
  uint64_t staged_size_ = 0;

  OwnThreads thread_;
};

}  // namespace gyr
