// The parsed graph: columns as numbered slots, ops as steps between them. Names exist only here; running sees slots.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/expression.h"
#include "workflow/op.h"

namespace gyr::workflow {

// One unit of learning; columns[k] of the op goes from slot in[k] to slot out[k].
struct OpNode {
  std::unique_ptr<Op> op;
  std::string path;  // "ops[3]"
  std::vector<int> in, out;
};

// Filter (condition) or Dropna (rows where a column is null).
struct RowFilter {
  std::string path;
  bool optional = false;                  // skipped when a column it reads is not given
  std::unique_ptr<Expression> condition;  // null: Dropna
  std::vector<int> slots;                 // condition: all columns it was compiled against; Dropna: its columns
  std::vector<int> used;                  // positions in `slots` that are read
};

// Steps are in execution order. A filter step leaves the list of kept rows; each column that lives on is then taken
// through it by a gather step of its own, which runs only when somebody wants the column.
struct Step {
  enum Kind { kOp, kFilter, kGather } kind;
  int index;  // node or filter
  int part;   // kOp: position in node.in
  int in, out;
  int stage;  // filters before it
};

struct Output {
  ColumnSchema schema;
  int slot = -1;
  int learned_by = -1;   // node whose learned state gives cardinality, statistics and decode
  bool is_code = false;  // still the codes of that node
};

struct OpGraph {
  std::string json;  // canonical text: equal graphs have equal text
  Schema inputs;     // slot i = input i
  std::vector<OpNode> nodes;
  std::vector<RowFilter> filters;
  std::vector<Step> steps;
  std::vector<Output> outputs;
  int slots = 0;
};

Result<std::shared_ptr<const OpGraph>> parse_graph(std::string_view json, std::pmr::memory_resource* memory);

}  // namespace gyr::workflow
