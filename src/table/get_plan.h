// A read prepared once: columns of several tables, resolved and typed, for one call per request.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "exec/lease.h"
#include "table/table_impl.h"

namespace gyr {

class GetPlan {
 public:
  struct Wanted {
    uint32_t table;
    const char* name;
    gyr_dtype dtype;
    const gyr_value* otherwise;  // null = values that are not present are zero
  };
  static Result<std::shared_ptr<GetPlan>> make(std::vector<std::shared_ptr<Table>> tables, const Wanted* wanted,
                                               uint64_t n);
  size_t tables() const { return tables_.size(); }
  size_t columns() const { return columns_.size(); }

  // One call's arguments and what it needs besides.
  struct Scratch {
    std::vector<Keys> keys;            // of each table, equally many
    std::vector<gyr_table_column> to;  // of each column; names and types are the plan's
    std::vector<TableImpl::Scratch> rows;
    std::vector<EpochDomain::ReadGuard> guards;
    std::vector<uint8_t> status;  // of a column whose caller wants none
  };
  LeasePool<Scratch>::Lease lend() const;
  // Nothing is written when it fails. Allocates nothing after warm-up.
  Status run(int64_t now_us, Scratch* scratch) const;

 private:
  struct Planned {
    uint32_t table;
    int column;
    Field field;
    gyr_dtype dtype;
    CopyColumn copy;
    bool has_default = false;
    int64_t default_int = 0;
    double default_float = 0;
  };
  static Status read_default(const gyr_value& value, Planned* column);
  static void fill_defaults(const Planned& column, const gyr_table_column& to, uint64_t n);

  std::vector<std::shared_ptr<const TableImpl>> tables_;
  std::vector<uint32_t> groups_;  // per table, that are read
  std::vector<Planned> columns_;
  mutable LeasePool<Scratch> scratch_;
};

}  // namespace gyr
