// What every op of the graph is to the graph: a function of one column, and for learning ops also a statistic that
// streams, merges and freezes. One op object is one unit of learning: a JSON op over several columns becomes several
// of them, except for joint Categorify, which learns one vocabulary from all its columns.
#pragma once

#include <gyr/data.h>

#include <memory>
#include <memory_resource>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/spec.h"
#include "data/column.h"
#include "data/schema.h"

namespace gyr::workflow {

// What a pass collects, and what it becomes: immutable, shared between workflows.
struct Partial {
  virtual ~Partial() = default;
};
struct Learned {
  virtual ~Learned() = default;
};

class Op {
 public:
  virtual ~Op() = default;
  // Writes every row of `in` to *out, reusing its buffers. `learned` is null for ops that do not learn.
  virtual Status run(const Learned* learned, const Column& in, Column* out) const = 0;

  virtual bool learns() const { return false; }
  // Learned from the graph alone (user vocabularies), or null.
  virtual std::shared_ptr<const Learned> given() const { return nullptr; }
  virtual std::unique_ptr<Partial> start(std::pmr::memory_resource*) const { return nullptr; }
  virtual Status observe(const Column&, Partial*) const { return {}; }
  // prepare() may throw bad_alloc and leaves the statistics as they are; after it add() cannot fail.
  virtual Status prepare(Partial*, const Partial&) const { return {}; }
  virtual void add(Partial*, const Partial&) const {}
  virtual Result<std::shared_ptr<const Learned>> finish(const Partial&, std::pmr::memory_resource*) const {
    return std::shared_ptr<const Learned>();
  }
  virtual void write(const Partial&, ByteWriter*) const {}
  virtual void write(const Learned&, ByteWriter*) const {}
  // Readers check everything: the bytes may come from anywhere.
  virtual Result<std::unique_ptr<Partial>> read_partial(ByteReader*, std::pmr::memory_resource*) const {
    return std::unique_ptr<Partial>();
  }
  virtual Result<std::shared_ptr<const Learned>> read_learned(ByteReader*, std::pmr::memory_resource*) const {
    return std::shared_ptr<const Learned>();
  }

  virtual int64_t cardinality(const Learned*) const { return 0; }
  virtual Json statistics(const Learned&) const { return nullptr; }
  virtual Status decode(const Learned*, int64_t, gyr_value*) const {
    return fail(GYR_E_NOT_FOUND, "workflow", "the column is not made by Categorify");
  }
};

// An op object with the columns it reads (positions in the JSON op's `columns`) and what it makes of each.
struct OpUnit {
  std::unique_ptr<Op> op;
  std::vector<int> columns;
  std::vector<ColumnSchema> out;  // one per column; names are set by the graph unless `extra`
  bool extra = false;             // adds a column of its own instead of writing the op's output
  bool keeps_codes = false;       // codes of Categorify stay decodable codes
};

struct OpContext {
  SpecReader* spec;
  const std::vector<ColumnSchema>* in;    // what `columns` names, in order
  const std::vector<std::string>* names;  // names of the outputs, in order
  std::pmr::memory_resource* memory;
  std::vector<OpUnit>* units;
};

Status make_categorify(OpContext& c);
Status make_hash_bucket(OpContext& c);
Status make_bucketize(OpContext& c);
Status make_fill_missing(OpContext& c);
Status make_clip(OpContext& c);
Status make_log(OpContext& c);
Status make_normalize(OpContext& c);
Status make_normalize_min_max(OpContext& c);
Status make_list_slice(OpContext& c);

// A schema that inherits tags and sources, but not codes.
ColumnSchema derive(const ColumnSchema& in, gyr_dtype dtype, uint32_t add = 0);
Status numeric_only(const OpContext& c, const char* op);
// An integer for all columns, or an object {column: integer}; columns not named get `otherwise`.
Status per_column(OpContext& c, const char* key, int64_t min, int64_t max, int64_t otherwise,
                  std::vector<int64_t>* out);

}  // namespace gyr::workflow
