// Text to a typed tree: tokenizer, recursive descent with bounded depth, type check. docs/expression.md is the grammar.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/schema.h"

namespace gyr::expression {

enum class Type : uint8_t { kNumber, kCondition, kString, kList };
enum class ExprOp : uint8_t {
  // Leaves.
  kNumber,
  kInteger,
  kString,
  kBool,
  kColumn,
  // Numbers to numbers.
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kMin,
  kMax,
  kNegate,
  kAbs,
  kLog,
  kExp,
  kSqrt,
  // Numbers, strings or conditions to conditions; kInSet has its literals in `set`, kInList a list column on the right.
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kInSet,
  kInList,
  kIsNull,
  kAnd,
  kOr,
  kNot,
};

struct Node {
  ExprOp op;
  Type type;
  int left = -1, right = -1;  // positions in Tree::nodes
  int column = -1;
  int set = -1;
  double number = 0;  // numbers, also of integers; 0 or 1 for kBool
  int64_t integer = 0;
  std::string text;
};

// Literals of `in [...]`: integers when all are, else numbers, or strings. Sorted.
struct Set {
  bool strings = false, integers = false;
  std::vector<int64_t> ints;
  std::vector<double> numbers;
  std::vector<std::string> texts;
};

struct Tree {
  std::vector<Node> nodes;
  std::vector<Set> sets;
  int root = -1;
};

Status parse(std::string_view text, const std::vector<ColumnSchema>& columns, Tree* out);

}  // namespace gyr::expression
