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
#include "io/container.h"

namespace gyr {

// A batch of keys: exactly one of the two is set.
struct Keys {
  gyr_dtype dtype = GYR_DTYPE_INT64;
  const int64_t* ints = nullptr;
  const gyr_str* strings = nullptr;
  uint64_t count = 0;
};

class Table {
 public:
  static Result<std::shared_ptr<Table>> create(std::shared_ptr<Runtime> runtime, std::string_view schema_json);
  static Result<std::shared_ptr<Table>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                             std::string_view name);
  virtual ~Table() = default;

  virtual gyr_dtype key_dtype() const = 0;
  virtual const Field& key_field() const = 0;
  virtual const std::vector<Field>& columns() const = 0;   // without key and event time
  virtual const std::string& event_time_name() const = 0;  // empty = rows have event time 0
  virtual uint64_t rows() const = 0;
  virtual uint64_t bytes() const = 0;

  struct UpsertStats {
    uint64_t rows = 0, applied = 0, stale = 0;
  };
  // Concurrent with reads and other upserts; validates the whole batch before the first row goes in.
  virtual Status upsert(const Batch& batch, UpsertStats* stats) = 0;
  virtual Status remove(const Keys& keys, uint64_t* removed) = 0;

  // Gathers rows of the named columns into *out (one Column per position in `columns`, reset to the column's type),
  // with out_status[c * keys.count + i] = GYR_VALUE_*. Values that are not present become null. Allocates nothing
  // after warm-up. Each row is read whole (never half of an upsert).
  virtual Status get(const Keys& keys, int64_t now_us, const std::vector<int>& columns, Batch* out,
                     std::vector<uint8_t>* out_status) const = 0;
  // The same into caller memory (gyr/table.h: gyr_table_column). Nothing is written when it fails.
  virtual Status read_into(const Keys& keys, int64_t now_us, const gyr_table_column* columns, uint64_t n) const = 0;
  int find_column(std::string_view name) const {
    for (size_t i = 0; i < columns().size(); i++)
      if (columns()[i].name == name) return int(i);
    return -1;
  }

  // Visits rows in key-hash order in batches of at most `batch_rows` (key, event time, columns); resumes at *cursor,
  // which starts at 0 and becomes UINT64_MAX at the end.
  virtual Status scan(uint64_t* cursor, uint64_t batch_rows, Batch* out) const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;
};

// One row of C values as a batch for upsert(). `columns` follow the rules of gyr_table_upsert_row.
Status row_batch(const Table& table, const Keys& key, int64_t event_time_us, const char* const* columns,
                 const gyr_value* values, uint64_t n, Batch* out);

}  // namespace gyr
