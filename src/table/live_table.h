// What makes a table outlive its process: a folder of its own with a snapshot and a log (docs/design/005-table-log.md).
#pragma once

#include <atomic>
#include <mutex>

#include "table/log.h"
#include "table/table_impl.h"

namespace gyr {

class LiveTable {
 public:
  static constexpr const char* kSnapshot = "snapshot.gyr";  // in its folder

  LiveTable(std::shared_ptr<Runtime> runtime, std::string folder, File lock)
      : runtime_(std::move(runtime)), folder_(std::move(folder)), lock_(std::move(lock)) {}
  ~LiveTable();

  // Makes or recovers the table in *table; nothing else may use it before this has returned.
  Status start(const char* schema_json, const LiveOptions& options, gyr_task* task, std::shared_ptr<TableImpl>* table);

  Status upsert(TableImpl* table, const Batch& batch, Table::UpsertStats* stats, int64_t clock_us);
  Status remove(TableImpl* table, const Keys& keys, uint64_t* removed);
  bool keeps_log() const { return log_ != nullptr; }
  Status sweep(TableImpl* table, int64_t now_us, uint64_t max_rows, uint64_t* cursor, uint64_t* removed);
  Status checkpoint(const TableImpl& table, gyr_task* task);
  Status flush();
  void info(LiveInfo* out) const;

 private:
  struct Appending;
  using Segments = std::vector<TableLog::Segment>;

  Status create(const char* schema_json, std::shared_ptr<TableImpl>* table);
  Status recover(const char* schema_json, Segments found, gyr_task* task, std::shared_ptr<TableImpl>* table);
  Status replay(TableImpl* table, Segments found, gyr_task* task);
  Status replay_segment(TableImpl* table, TableLog::Segment* segment, bool last, gyr_task* task);
  Status log_removal(TableImpl* table, const Keys& keys, std::unique_ptr<LogRecord> record, uint64_t* removed,
                     uint64_t* lsn);
  static Status apply_delete(TableImpl* table, const Batch& batch);
  Status save_snapshot(const TableImpl& table, uint64_t lsn, gyr_task* task);
  void drop_segments(uint64_t lsn);
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  const std::shared_ptr<Runtime> runtime_;
  const std::string folder_;
  File lock_;
  uint64_t table_id_ = 0;
  LiveOptions options_;
  uint64_t recovered_lsn_ = 0;
  std::atomic<uint64_t> snapshot_lsn_{0};
  mutable std::mutex left_;
  Segments segments_;  // without a log: what an earlier one left
  std::mutex order_;   // changes go into the rows and into the log in one order
  mutable std::mutex checkpoints_;
  std::unique_ptr<TableLog> log_;  // null: durability none
};

}  // namespace gyr
