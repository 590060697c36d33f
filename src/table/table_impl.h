// The one Table there is: packed rows in a KeyedRows.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>

#include "base/bytes.h"
#include "exec/lease.h"
#include "exec/memory.h"
#include "store/row_store.h"
#include "table/caller_columns.h"
#include "table/history.h"
#include "table/table.h"

namespace gyr {

class LiveTable;

class TableImpl final : public Table {
 public:
  static Result<std::shared_ptr<TableImpl>> make(std::shared_ptr<Runtime> runtime, TableSchema schema);
  TableImpl(std::shared_ptr<Runtime> runtime, TableSchema schema, KeyedRows::Hash hash = nullptr);
  const TableSchema& schema() const override { return schema_; }
  uint64_t rows() const override { return store_.size(); }
  uint64_t versions() const override { return history_ ? history_->versions() : 0; }
  uint64_t bytes() const override { return store_.bytes() + (history_ ? history_->store().bytes() : 0); }

  Status upsert(const Batch& batch, UpsertStats* stats, int64_t clock_us) override;
  Status remove(const Keys& keys, uint64_t* removed) override;
  Status get(const Keys& keys, int64_t now_us, const std::vector<int>& columns, Batch* out,
             std::vector<uint8_t>* out_status) const override;
  Status read_into(const Keys& keys, int64_t now_us, const gyr_table_column* columns, uint64_t n) const override;
  Status read_as_of(const Keys& keys, const int64_t* times_us, bool known, const gyr_table_column* columns,
                    uint64_t n) const override;
  Status append_as_of(const Keys& keys, const int64_t* times_us, bool known, const std::vector<int>& columns,
                      Column* out) const override;
  Status sweep(int64_t now_us, uint64_t max_rows, uint64_t* cursor, uint64_t* removed) override;
  Status scan(uint64_t* cursor, uint64_t batch_rows, Batch* out) const override;
  Status save(ContainerWriter* file, std::string_view name, gyr_task* task = nullptr) const override;
  Status checkpoint(gyr_task* task) override;
  Status flush() override;
  Status live_info(LiveInfo* out) const override;

  // Table::load with a schema made of the stored one; null = the stored one. The names of the stored columns go to
  // *stored, when that is not null.
  using Grow = std::function<Result<TableSchema>(const TableSchema& stored)>;
  static Result<std::shared_ptr<TableImpl>> load_as(std::shared_ptr<Runtime> runtime, const Container& file,
                                                    std::string_view name, const Grow& grow, TableSchema* stored);

  // save(), and for snapshots the other way round: what the log tells again goes by the history, and must find rows
  // that are as new at least.
  Status save_in_order(ContainerWriter* file, std::string_view name, gyr_task* task, bool history_first) const;

  // Between the two, rows that were there before go in whether the memory budget has room for them or not.
  void begin_opening() { opening_ = true; }
  void end_opening() { opening_ = false; }
  // From here on every change passes through it.
  void set_live(std::unique_ptr<LiveTable> live);
  // Changes the rows, and nothing but them: what upsert() and remove() do where no log is kept. When they fail or throw
  // in the middle, stats->rows and *tried have counted the rows and keys that are done.
  Status apply(const Batch& batch, UpsertStats* stats, int64_t clock_us) {
    return upsert_rows(batch, Into::kBoth, clock_us, stats);
  }
  Status apply_remove(const Keys& keys, uint64_t* removed, uint64_t* tried);
  Status check_keys(const Keys& keys) const;
  // Keys of rows that sweep() removes, among at most max_rows rows from *cursor on.
  struct Over {
    std::vector<int64_t> ints;
    std::string bytes;
    std::vector<gyr_str> strings;  // into the bytes
    Keys keys;
  };
  Status find_over(int64_t now_us, uint64_t max_rows, uint64_t* cursor, Over* out) const;

  static constexpr uint64_t kMaxKeyBytes = 65536;

  // Where the rows of a call's keys are, by group: [group * keys + key].
  struct Scratch {
    std::vector<const uint8_t*> rows;  // null = not to be read
    std::vector<uint8_t> state;        // GYR_VALUE_PRESENT, MISSING or EXPIRED
    std::vector<StoredRow> stored;     // what a scan met
    std::vector<int> columns;
    std::vector<const uint8_t*> blocks;  // of a read as of times: the keys' pasts
  };

 private:
  enum class Into { kBoth, kRows };  // rows and history, or rows alone
  struct Input {                     // a validated batch
    const Column* key = nullptr;
    std::vector<const Column*> times;  // per group; null = not in the batch
    const Column* created = nullptr;
    uint32_t groups = 0;                               // that the batch brings
    std::vector<const Column*> from;                   // per column of the table; null = not in the batch
    std::vector<std::vector<const Column*>> by_group;  // the same, for the history
    std::deque<Column> nulls;                          // columns of Arrow's null type, in the table's types
    int64_t clock_us = 0;
    Into into = Into::kBoth;
    History::Draft draft;
  };

  friend class Table;
  friend class GetPlan;

  Status check_batch(const Batch& batch, Input* out) const;
  Status check_times(const Batch& batch, Input* out) const;
  Status check_group(const Input& in, uint32_t group, int64_t rows) const;
  uint32_t times_of(const Input& in, int64_t i, int64_t* times) const;
  Status upsert_rows(const Batch& batch, Into into, int64_t clock_us, UpsertStats* stats);
  Status upsert_row(Input* in, int64_t i, const KeyRef& key, UpsertStats* stats);
  KeyedRows::NewRow merge_row(const Input& in, int64_t i, const KeyRef& key, const uint8_t* old, uint32_t take,
                              const int64_t* times, bool* too_large);
  Status resolve(const gyr_table_column* columns, uint64_t n, uint64_t count, Scratch* scratch) const;
  uint32_t groups_of(const std::vector<int>& columns) const;
  void locate(const Keys& keys, int64_t now_us, uint32_t groups, Scratch* scratch) const;
  void find_versions(uint32_t group, const int64_t* times_us, bool known, size_t keys, Scratch* scratch) const;
  void locate_as_of(const Keys& keys, const int64_t* times_us, bool known, uint32_t groups, Scratch* scratch) const;
  Source source(const Scratch& scratch, int column, uint64_t keys, bool past) const;
  Status copy(const Scratch& scratch, const gyr_table_column* columns, uint64_t n, uint64_t keys, bool past) const;
  Status require_history() const;
  bool is_over(const uint8_t* row, int64_t now_us) const;
  Status load_rows(ByteReader* in, const TableSchema& saved, uint64_t rows, uint64_t section_bytes);
  static std::vector<Field> version_fields(const TableSchema& schema, uint32_t group);
  Status save_history(ByteWriter* out, uint64_t* versions) const;
  Status load_history(ByteReader* in, const TableSchema& saved, uint64_t versions, uint64_t section_bytes);
  Status load_versions(ByteReader* in, const TableSchema& saved, int64_t n, uint32_t group);
  template <class Note>
  static void find(const KeyedRows& store, const Keys& keys, Note&& note) {
    if (keys.dtype == GYR_DTYPE_STRING)
      store.find(keys.strings, keys.count, note);
    else
      store.find(keys.ints, keys.count, note);
  }
  KeyRef key_of(const Keys& keys, uint64_t i) const {
    return keys.dtype == GYR_DTYPE_STRING ? store_.key(keys.strings[i]) : store_.key(&keys.ints[i]);
  }
  KeyRef key_of(const Column& column, int64_t row) const {
    return schema_.key.dtype == GYR_DTYPE_STRING ? store_.key(column.string(row))
                                                 : store_.key(&column.ints[size_t(row)]);
  }

  // write(), which changes nothing when it throws; while opening, again without the budget. Memory depends on the order
  // of sizes that were asked for, refused ones included, so rows that had room may find none in another order.
  template <class Write>
  auto written(Write&& write) {
    try {
      return write();
    } catch (const Allowance::Exceeded&) {
      if (!opening_) throw;
    }
    struct Beyond {
      Allowance* memory;
      ~Beyond() { memory->go_beyond(false); }
    } beyond{&memory_};
    memory_.go_beyond(true);
    return write();
  }

  std::shared_ptr<Runtime> runtime_;
  const TableSchema schema_;
  RowFormat format_;
  Allowance memory_;
  KeyedRows store_;
  std::unique_ptr<History> history_;  // null = the schema asks for none
  bool opening_ = false;
  mutable LeasePool<Scratch> scratch_;
  std::unique_ptr<LiveTable> live_;  // null: not in a folder. Last: its thread ends first.
};

// GYR_VALUE_* of a row's group. Before its event time it is not there yet.
inline uint8_t state_of(int64_t event, int64_t now_us, int64_t ttl_us) {
  if (now_us == INT64_MAX) return GYR_VALUE_PRESENT;
  if (event > now_us) return GYR_VALUE_MISSING;
  return expired_by(event, ttl_us, now_us) ? GYR_VALUE_EXPIRED : GYR_VALUE_PRESENT;
}

// Columns of one batch in a section and back; decode checks every size and offset.
void encode_column(const Column& column, ByteWriter* out);
Status decode_column(ByteReader* in, const Field& field, int64_t rows, Column* out);

}  // namespace gyr
