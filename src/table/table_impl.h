// The one Table there is: packed rows in a KeyedRows.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>

#include "base/bytes.h"
#include "base/json.h"
#include "store/row_store.h"
#include "table/row_format.h"
#include "table/table.h"

namespace gyr {

struct TableSchema {
  std::string name;
  Field key;
  std::string event_time;  // empty = none
  int64_t ttl_us = 0;      // 0 = rows do not expire
  std::vector<Field> columns;

  static Result<TableSchema> parse(std::string_view text);
  Json to_json() const;
};

class TableImpl final : public Table {
 public:
  TableImpl(std::shared_ptr<Runtime> runtime, TableSchema schema, KeyedRows::Hash hash = nullptr);
  ~TableImpl() override;

  gyr_dtype key_dtype() const override { return schema_.key.dtype; }
  const Field& key_field() const override { return schema_.key; }
  const std::vector<Field>& columns() const override { return schema_.columns; }
  const std::string& event_time_name() const override { return schema_.event_time; }
  uint64_t rows() const override { return store_.size(); }
  uint64_t bytes() const override { return store_.bytes(); }

  Status upsert(const Batch& batch, UpsertStats* stats) override;
  Status remove(const Keys& keys, uint64_t* removed) override;
  Status get(const Keys& keys, int64_t now_us, const std::vector<int>& columns, Batch* out,
             std::vector<uint8_t>* out_status) const override;
  Status read_into(const Keys& keys, int64_t now_us, const gyr_table_column* columns, uint64_t n) const override;
  Status scan(uint64_t* cursor, uint64_t batch_rows, Batch* out) const override;
  Status save(ContainerWriter* file, std::string_view name) const override;

  static constexpr uint64_t kMaxKeyBytes = 65536;

 private:
  struct Scratch {
    std::vector<const uint8_t*> rows;
    std::vector<StoredRow> stored;  // what a scan met
    std::vector<int> columns;
    std::vector<uint8_t> state;  // GYR_VALUE_PRESENT, MISSING or EXPIRED
  };
  // Borrowed scratch: lock-free, and no allocation once as many exist as calls run at once (up to the slots).
  class Lease {
   public:
    explicit Lease(const TableImpl& table);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch* operator->() { return scratch_; }
    Scratch& operator*() { return *scratch_; }

   private:
    const TableImpl& table_;
    Scratch* scratch_ = nullptr;
  };
  struct Input {  // a validated batch
    const Column* key = nullptr;
    const Column* event_time = nullptr;
    std::vector<const Column*> from;  // per column of the table; null = not in the batch
    std::deque<Column> nulls;         // columns of Arrow's null type, in the table's types
  };
  static constexpr size_t kLeases = 16;

  Status check_keys(const Keys& keys) const;
  Status check_batch(const Batch& batch, Input* out) const;
  Status upsert_row(const Input& in, int64_t i, const KeyRef& key, UpsertStats* stats);
  void locate(const Keys& keys, int64_t now_us, Scratch* scratch) const;
  KeyRef key_of(const Column& column, int64_t row) const {
    return schema_.key.dtype == GYR_DTYPE_STRING ? store_.key(column.string(row))
                                                 : store_.key(&column.ints[size_t(row)]);
  }

  std::shared_ptr<Runtime> runtime_;
  TableSchema schema_;
  RowFormat format_;
  KeyedRows store_;
  mutable std::array<std::atomic<Scratch*>, kLeases> leases_{};
};

// Columns of one batch in a section and back; decode checks every size and offset.
void encode_column(const Column& column, ByteWriter* out);
Status decode_column(ByteReader* in, const Field& field, int64_t rows, Column* out);

}  // namespace gyr
