// The online feature table: see include/gyr/table.h for the contract.
#pragma once

#include <gyr/table.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/arrow.h"
#include "data/column.h"
#include "data/schema.h"
#include "exec/runtime.h"
#include "exec/task.h"
#include "io/container.h"
#include "table/schema.h"

namespace gyr {

// A batch of keys: exactly one of the two is set.
struct Keys {
  gyr_dtype dtype = GYR_DTYPE_INT64;
  const int64_t* ints = nullptr;
  const gyr_str* strings = nullptr;
  uint64_t count = 0;
};

// How a table in a folder is kept (gyr/table.h: gyr_table_log_options), and how its log stands.
struct LiveOptions {
  gyr_durability durability = GYR_DURABILITY_ASYNC;
  int64_t flush_ns = 0;
  uint64_t segment_bytes = 0, queue_bytes = 0;
};
struct LiveInfo {
  gyr_durability durability = GYR_DURABILITY_NONE;
  uint64_t last_lsn = 0, durable_lsn = 0, snapshot_lsn = 0, bytes = 0, segments = 0;
  bool poisoned = false;
};

class Table {
 public:
  static Result<std::shared_ptr<Table>> create(std::shared_ptr<Runtime> runtime, std::string_view schema_json);
  static Result<std::shared_ptr<Table>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                             std::string_view name);
  // The table that lives in a folder; made there when there is none. schema_json: null = as it is there.
  static Result<std::shared_ptr<Table>> open_live(std::shared_ptr<Runtime> runtime, std::string folder,
                                                  const char* schema_json, const LiveOptions& options, gyr_task* task);
  virtual ~Table() = default;

  virtual const TableSchema& schema() const = 0;
  gyr_dtype key_dtype() const { return schema().key.dtype; }
  const Field& key_field() const { return schema().key; }
  const std::vector<Field>& columns() const { return schema().columns; }     // without key and times
  std::vector<Field> scan_fields() const { return schema().scan_fields(); }  // key, event times, columns
  virtual uint64_t rows() const = 0;
  virtual uint64_t versions() const = 0;  // in the history
  virtual uint64_t bytes() const = 0;

  struct UpsertStats {
    uint64_t rows = 0;
    uint64_t applied = 0;  // written
    uint64_t late = 0;     // into the history only
    uint64_t stale = 0;    // not at all
  };
  // Concurrent with reads and other upserts; validates the whole batch before the first row goes in. clock_us: when the
  // rows became known where no column says so; 0 = now.
  virtual Status upsert(const Batch& batch, UpsertStats* stats, int64_t clock_us = 0) = 0;
  virtual Status remove(const Keys& keys, uint64_t* removed) = 0;

  // Gathers rows of the named columns into *out (one Column per position in `columns`, reset to the column's type),
  // with out_status[c * keys.count + i] = GYR_VALUE_*. Values that are not present become null. Allocates nothing
  // after warm-up. Each row is read whole (never half of an upsert).
  virtual Status get(const Keys& keys, int64_t now_us, const std::vector<int>& columns, Batch* out,
                     std::vector<uint8_t>* out_status) const = 0;
  // The same into caller memory (gyr/table.h: gyr_table_column). Nothing is written when it fails.
  virtual Status read_into(const Keys& keys, int64_t now_us, const gyr_table_column* columns, uint64_t n) const = 0;

  // Both once more, each key as of a time of its own. known: only what was created by then. INVALID_STATE without a
  // history. append_as_of() appends, and needs no statuses.
  virtual Status read_as_of(const Keys& keys, const int64_t* times_us, bool known, const gyr_table_column* columns,
                            uint64_t n) const = 0;
  virtual Status append_as_of(const Keys& keys, const int64_t* times_us, bool known, const std::vector<int>& columns,
                              Column* out) const = 0;
  int find_column(std::string_view name) const {
    for (size_t i = 0; i < columns().size(); i++)
      if (columns()[i].name == name) return int(i);
    return -1;
  }

  // Visits rows in key-hash order in batches of at most `batch_rows` (scan_fields()); resumes at *cursor, which starts
  // at 0 and becomes UINT64_MAX at the end.
  virtual Status scan(uint64_t* cursor, uint64_t batch_rows, Batch* out) const = 0;
  // Removes what nobody can read any more among at most max_rows rows from *cursor on, which moves as scan()'s does.
  virtual Status sweep(int64_t now_us, uint64_t max_rows, uint64_t* cursor, uint64_t* removed) = 0;
  // About what bytes() will be: rows with so many bytes each of strings, lists and string key, and so many versions.
  static Result<uint64_t> estimate(std::string_view schema_json, uint64_t rows, uint64_t variable_bytes,
                                   uint64_t versions);
  virtual Status save(ContainerWriter* file, std::string_view name, gyr_task* task = nullptr) const = 0;

  // INVALID_STATE when the table does not live in a folder.
  virtual Status checkpoint(gyr_task* task) = 0;
  virtual Status flush() = 0;
  virtual Status live_info(LiveInfo* out) const = 0;
};

// Labels joined with a table's columns as of their times (gyr_table_export_as_of). Made once for a schema of labels.
class AsOfJoin {
 public:
  struct Options {
    bool known = true;
    std::string key, time, prefix;     // empty = the table's names, no prefix
    std::vector<std::string> columns;  // of the table
  };
  static Result<AsOfJoin> make(std::shared_ptr<const Table> table, const std::vector<Field>& labels,
                               const Options& options);
  const std::vector<Field>& fields() const { return fields_; }  // of what run() makes
  // Takes the labels' columns over into *out.
  Status run(Batch* labels, Batch* out);

 private:
  std::shared_ptr<const Table> table_;
  std::vector<Field> fields_;
  std::vector<int> columns_;
  size_t key_ = 0, time_ = 0;
  bool known_ = true;
  std::vector<gyr_str> strings_;
};

// One row of C values as a batch for upsert(). `columns` follow the rules of gyr_table_upsert_row.
Status row_batch(const Table& table, const Keys& key, int64_t event_time_us, const char* const* columns,
                 const gyr_value* values, uint64_t n, Batch* out);

}  // namespace gyr
