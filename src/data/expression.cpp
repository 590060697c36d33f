#include "data/expression.h"

#include <algorithm>
#include <cmath>

#include "data/expression_parse.h"

namespace gyr {
namespace {

using namespace expression;  // NOLINT(google-build-using-namespace)

enum class Run : uint8_t {
  kConstant,
  kColumn,
  kColumnIsNull,
  // Exact forms that never pass through double, so that 64-bit ids and strings compare right.
  kCompareInts,
  kCompareStrings,
  kIntInSet,
  kStringInSet,
  kIntInList,
  kStringInList,
  // On the stack of columns.
  kUnary,
  kBinary,
  kCompare,
  kNumberInSet,
  kNumberInList,
  kTopIsNull,
  kAnd,
  kOr,
  kNot,
};

// A column, or a literal when column < 0.
struct Atom {
  int column = -1;
  int64_t integer = 0;
  std::string text;
};

struct Step {
  Run run;
  ExprOp op = ExprOp::kNumber;
  Atom left, right;
  int set = -1;
  double number = 0;
};

using Columns = std::vector<const Column*>;

// Calls body with a function object for the comparison, so that the row loop holds no switch.
template <class Body>
void with_comparison(ExprOp op, Body&& body) {
  switch (op) {
    case ExprOp::kEqual:
      return body([](const auto& a, const auto& b) { return a == b; });
    case ExprOp::kNotEqual:
      return body([](const auto& a, const auto& b) { return a != b; });
    case ExprOp::kLess:
      return body([](const auto& a, const auto& b) { return a < b; });
    case ExprOp::kLessEqual:
      return body([](const auto& a, const auto& b) { return a <= b; });
    case ExprOp::kGreater:
      return body([](const auto& a, const auto& b) { return a > b; });
    default:
      return body([](const auto& a, const auto& b) { return a >= b; });
  }
}

struct IntAtom {
  const Column* column;
  int64_t literal;
  IntAtom(const Atom& a, const Columns& columns)
      : column(a.column < 0 ? nullptr : columns[size_t(a.column)]), literal(a.integer) {}
  int64_t at(int64_t i) const { return column ? column->ints[size_t(i)] : literal; }
  bool valid(int64_t i) const { return !column || column->leaf_is_valid(i); }
};

struct StringAtom {
  const Column* column;
  std::string_view literal;
  StringAtom(const Atom& a, const Columns& columns)
      : column(a.column < 0 ? nullptr : columns[size_t(a.column)]), literal(a.text) {}
  std::string_view at(int64_t i) const { return column ? column->string(i) : literal; }
  bool valid(int64_t i) const { return !column || column->leaf_is_valid(i); }
};

// Is there an element of row i that matches?
template <class Match>
bool any_element(const Column& list, int64_t i, Match match) {
  for (int64_t k = list.list_offsets[size_t(i)]; k < list.list_offsets[size_t(i) + 1]; k++)
    if (list.leaf_is_valid(k) && match(k)) return true;
  return false;
}

template <class V, class K>
bool contains(const V& sorted, const K& key) {
  auto it = std::lower_bound(sorted.begin(), sorted.end(), key);
  return it != sorted.end() && *it == key;
}

struct Slot {
  double* value;
  uint8_t* valid;
};

template <class F>
void binary(Slot a, Slot b, int64_t rows, F f) {
  for (int64_t i = 0; i < rows; i++) {
    double v = f(a.value[i], b.value[i]);
    a.value[i] = v;
    a.valid[i] = a.valid[i] & b.valid[i] & uint8_t(v == v);
  }
}

template <class F>
void unary(Slot a, int64_t rows, F f) {
  for (int64_t i = 0; i < rows; i++) {
    double v = f(a.value[i]);
    a.value[i] = v;
    a.valid[i] = a.valid[i] & uint8_t(v == v);
  }
}

template <class Atoms, class F>
void fill(Slot out, int64_t rows, const Atoms& left, F f) {
  for (int64_t i = 0; i < rows; i++) {
    out.valid[i] = left.valid(i);
    out.value[i] = out.valid[i] ? double(f(i)) : 0.0;
  }
}

class Program final : public Expression {
 public:
  bool condition = false;
  std::vector<int> columns_used;
  std::vector<Step> steps;
  std::vector<Set> sets;
  size_t slots = 0;

  bool is_condition() const override { return condition; }
  const std::vector<int>& used() const override { return columns_used; }

  Status run_condition(const Columns& columns, int64_t rows, Scratch* scratch,
                       std::vector<uint8_t>* keep) const override {
    if (!condition)
      return fail(GYR_E_INVALID_ARGUMENT, "expression", "the expression is a number, a condition is needed");
    GYR_TRY(run(columns, rows, scratch));
    keep->resize(size_t(rows));
    for (int64_t i = 0; i < rows; i++)
      (*keep)[size_t(i)] = scratch->valid[0][size_t(i)] && scratch->values[0][size_t(i)] != 0;
    return {};
  }

  Status run_number(const Columns& columns, int64_t rows, Scratch* scratch, std::vector<double>* out) const override {
    if (condition)
      return fail(GYR_E_INVALID_ARGUMENT, "expression", "the expression is a condition, a number is needed");
    GYR_TRY(run(columns, rows, scratch));
    out->resize(size_t(rows));
    for (int64_t i = 0; i < rows; i++)
      (*out)[size_t(i)] = scratch->valid[0][size_t(i)] ? scratch->values[0][size_t(i)] : std::nan("");
    return {};
  }

 private:
  Status run(const Columns& columns, int64_t rows, Scratch* scratch) const {
    for (int c : columns_used)
      GYR_CHECK(size_t(c) < columns.size() && columns[size_t(c)] && columns[size_t(c)]->rows() >= rows, "expression");
    if (scratch->values.size() < slots) scratch->values.resize(slots);
    if (scratch->valid.size() < slots) scratch->valid.resize(slots);  // apart: the first may be done when memory ends
    for (size_t i = 0; i < slots; i++) {
      scratch->values[i].resize(size_t(rows));
      scratch->valid[i].resize(size_t(rows));
    }
    size_t depth = 0;
    auto slot = [&](size_t i) { return Slot{scratch->values[i].data(), scratch->valid[i].data()}; };
    for (const Step& step : steps) {
      if (step.run < Run::kUnary) {
        load(step, columns, rows, slot(depth++));
      } else if (step.run == Run::kBinary || step.run == Run::kCompare || step.run == Run::kAnd ||
                 step.run == Run::kOr) {
        depth--;
        apply(step, slot(depth - 1), slot(depth), rows);
      } else {
        apply_one(step, columns, slot(depth - 1), rows);
      }
    }
    GYR_CHECK(depth == 1, "expression");
    return {};
  }

  void load(const Step& s, const Columns& columns, int64_t rows, Slot out) const;
  void load_column(const Column& c, int64_t rows, Slot out) const;
  static void apply(const Step& s, Slot a, Slot b, int64_t rows);
  void apply_one(const Step& s, const Columns& columns, Slot a, int64_t rows) const;
};

void Program::load_column(const Column& c, int64_t rows, Slot out) const {
  bool floats = c.physical() == Physical::kFloat;
  for (int64_t i = 0; i < rows; i++) {
    double v = floats ? c.floats[size_t(i)] : double(c.ints[size_t(i)]);
    out.value[i] = v;
    out.valid[i] = c.leaf_is_valid(i) && v == v;
  }
}

void Program::load(const Step& s, const Columns& columns, int64_t rows, Slot out) const {
  switch (s.run) {
    case Run::kConstant:
      std::fill_n(out.value, rows, s.number);
      std::fill_n(out.valid, rows, 1);
      return;
    case Run::kColumn:
      return load_column(*columns[size_t(s.left.column)], rows, out);
    case Run::kColumnIsNull: {
      const Column& c = *columns[size_t(s.left.column)];
      for (int64_t i = 0; i < rows; i++) out.value[i] = c.row_is_null(i), out.valid[i] = 1;
      return;
    }
    case Run::kCompareInts: {
      IntAtom a(s.left, columns), b(s.right, columns);
      with_comparison(s.op, [&](auto holds) {
        for (int64_t i = 0; i < rows; i++)
          out.value[i] = holds(a.at(i), b.at(i)), out.valid[i] = a.valid(i) & b.valid(i);
      });
      return;
    }
    case Run::kCompareStrings: {
      StringAtom a(s.left, columns), b(s.right, columns);
      with_comparison(s.op, [&](auto holds) {
        for (int64_t i = 0; i < rows; i++)
          out.value[i] = holds(a.at(i), b.at(i)), out.valid[i] = a.valid(i) & b.valid(i);
      });
      return;
    }
    case Run::kIntInSet: {
      IntAtom a(s.left, columns);
      return fill(out, rows, a, [&](int64_t i) { return contains(sets[size_t(s.set)].ints, a.at(i)); });
    }
    case Run::kStringInSet: {
      StringAtom a(s.left, columns);
      return fill(out, rows, a, [&](int64_t i) { return contains(sets[size_t(s.set)].texts, a.at(i)); });
    }
    case Run::kIntInList: {
      IntAtom a(s.left, columns);
      const Column& list = *columns[size_t(s.right.column)];
      fill(out, rows, a,
           [&](int64_t i) { return any_element(list, i, [&](int64_t k) { return list.ints[size_t(k)] == a.at(i); }); });
      for (int64_t i = 0; i < rows; i++) out.valid[i] &= !list.row_is_null(i);
      return;
    }
    case Run::kStringInList: {
      StringAtom a(s.left, columns);
      const Column& list = *columns[size_t(s.right.column)];
      fill(out, rows, a,
           [&](int64_t i) { return any_element(list, i, [&](int64_t k) { return list.string(k) == a.at(i); }); });
      for (int64_t i = 0; i < rows; i++) out.valid[i] &= !list.row_is_null(i);
      return;
    }
    default:
      return;
  }
}

void Program::apply(const Step& s, Slot a, Slot b, int64_t rows) {
  switch (s.run) {
    case Run::kCompare:
      return with_comparison(s.op, [&](auto holds) {
        for (int64_t i = 0; i < rows; i++)
          a.value[i] = holds(a.value[i], b.value[i]), a.valid[i] = a.valid[i] & b.valid[i];
      });
    // Kleene's logic: one known false settles `and`, one known true settles `or`.
    case Run::kAnd:
      for (int64_t i = 0; i < rows; i++) {
        bool no = (a.valid[i] && a.value[i] == 0) || (b.valid[i] && b.value[i] == 0);
        a.valid[i] = no || (a.valid[i] && b.valid[i]);
        a.value[i] = !no;
      }
      return;
    case Run::kOr:
      for (int64_t i = 0; i < rows; i++) {
        bool yes = (a.valid[i] && a.value[i] != 0) || (b.valid[i] && b.value[i] != 0);
        a.valid[i] = yes || (a.valid[i] && b.valid[i]);
        a.value[i] = yes;
      }
      return;
    default:
      break;
  }
  switch (s.op) {
    case ExprOp::kAdd:
      return binary(a, b, rows, [](double x, double y) { return x + y; });
    case ExprOp::kSubtract:
      return binary(a, b, rows, [](double x, double y) { return x - y; });
    case ExprOp::kMultiply:
      return binary(a, b, rows, [](double x, double y) { return x * y; });
    case ExprOp::kDivide:
      return binary(a, b, rows, [](double x, double y) { return x / y; });
    case ExprOp::kMin:
      return binary(a, b, rows, [](double x, double y) { return x < y ? x : y; });
    default:
      return binary(a, b, rows, [](double x, double y) { return x > y ? x : y; });
  }
}

void Program::apply_one(const Step& s, const Columns& columns, Slot a, int64_t rows) const {
  switch (s.run) {
    case Run::kNot:
      return unary(a, rows, [](double x) { return double(x == 0); });
    case Run::kTopIsNull:
      for (int64_t i = 0; i < rows; i++) a.value[i] = !a.valid[i], a.valid[i] = 1;
      return;
    case Run::kNumberInSet:
      return unary(a, rows, [&](double x) { return double(contains(sets[size_t(s.set)].numbers, x)); });
    case Run::kNumberInList: {
      const Column& list = *columns[size_t(s.right.column)];
      bool floats = list.physical() == Physical::kFloat;
      for (int64_t i = 0; i < rows; i++) {
        double x = a.value[i];
        a.value[i] = any_element(
            list, i, [&](int64_t k) { return (floats ? list.floats[size_t(k)] : double(list.ints[size_t(k)])) == x; });
        a.valid[i] = a.valid[i] && !list.row_is_null(i);
      }
      return;
    }
    default:
      break;
  }
  switch (s.op) {
    case ExprOp::kNegate:
      return unary(a, rows, [](double x) { return -x; });
    case ExprOp::kAbs:
      return unary(a, rows, [](double x) { return std::fabs(x); });
    case ExprOp::kLog:
      return unary(a, rows, [](double x) { return std::log(x); });
    case ExprOp::kExp:
      return unary(a, rows, [](double x) { return std::exp(x); });
    default:
      return unary(a, rows, [](double x) { return std::sqrt(x); });
  }
}

// Tree to steps in postfix order, choosing the exact forms where both sides are columns or literals. Iterative: a long
// chain of + makes a deep tree, and the host's stack may be small.
class Emitter {
 public:
  Emitter(const Tree& tree, const std::vector<ColumnSchema>& columns, Program* out)
      : tree_(tree), columns_(columns), out_(*out) {}

  void emit(int root) {
    struct Entry {
      int node;
      bool expanded;
    };
    std::vector<Entry> todo{{root, false}};
    size_t depth = 0;
    while (!todo.empty()) {
      Entry& top = todo.back();
      const Node& n = node(top.node);
      int arity = arity_of(n);
      if (arity == 0 || top.expanded) {
        todo.pop_back();
        out_.steps.push_back(step_of(n));
        depth += size_t(1 - arity);
        out_.slots = std::max(out_.slots, depth);
        continue;
      }
      top.expanded = true;
      int left = n.left, right = n.right;
      if (arity == 2) todo.push_back({right, false});
      todo.push_back({left, false});
    }
  }

 private:
  const Node& node(int i) const { return tree_.nodes[size_t(i)]; }
  bool is_int(int i) const {
    const Node& n = node(i);
    if (n.op == ExprOp::kInteger) return true;
    return n.op == ExprOp::kColumn && n.type == Type::kNumber && physical(n) == Physical::kInt;
  }
  Physical physical(const Node& column) const { return physical_of(columns_[size_t(column.column)].dtype); }

  // How many operands a node takes from the stack; the exact forms read columns themselves.
  int arity_of(const Node& n) const {
    if (n.op <= ExprOp::kColumn) return 0;
    if (n.op >= ExprOp::kNegate && n.op <= ExprOp::kSqrt) return 1;
    if (n.op == ExprOp::kNot) return 1;
    if (n.op == ExprOp::kAnd || n.op == ExprOp::kOr || n.op < ExprOp::kEqual) return 2;
    Type type = node(n.left).type;
    if (n.op == ExprOp::kIsNull) return type == Type::kString || type == Type::kList ? 0 : 1;
    if (type == Type::kString) return 0;
    if (n.op == ExprOp::kInSet) return tree_.sets[size_t(n.set)].integers && is_int(n.left) ? 0 : 1;
    if (n.op == ExprOp::kInList) return physical(node(n.right)) == Physical::kInt && is_int(n.left) ? 0 : 1;
    return is_int(n.left) && is_int(n.right) ? 0 : 2;
  }

  Step step_of(const Node& n) {
    if (n.op < ExprOp::kColumn) return {.run = Run::kConstant, .number = n.number};
    if (n.op == ExprOp::kColumn) return {.run = Run::kColumn, .left = atom(n)};
    bool exact = arity_of(n) == 0, strings = node(n.left).type == Type::kString;
    switch (n.op) {
      case ExprOp::kAnd:
        return {.run = Run::kAnd};
      case ExprOp::kOr:
        return {.run = Run::kOr};
      case ExprOp::kNot:
        return {.run = Run::kNot};
      case ExprOp::kIsNull:
        if (!exact) return {.run = Run::kTopIsNull};
        if (node(n.left).op == ExprOp::kString) return {.run = Run::kConstant};
        return {.run = Run::kColumnIsNull, .left = atom(node(n.left))};
      case ExprOp::kInSet:
        if (!exact) return {.run = Run::kNumberInSet, .set = n.set};
        return {.run = strings ? Run::kStringInSet : Run::kIntInSet, .left = atom(node(n.left)), .set = n.set};
      case ExprOp::kInList:
        if (!exact) return {.run = Run::kNumberInList, .right = atom(node(n.right))};
        return {.run = strings ? Run::kStringInList : Run::kIntInList,
                .left = atom(node(n.left)),
                .right = atom(node(n.right))};
      default:
        break;
    }
    if (n.op < ExprOp::kEqual) return {.run = n.op >= ExprOp::kNegate ? Run::kUnary : Run::kBinary, .op = n.op};
    if (!exact) return {.run = Run::kCompare, .op = n.op};
    return {.run = strings ? Run::kCompareStrings : Run::kCompareInts,
            .op = n.op,
            .left = atom(node(n.left)),
            .right = atom(node(n.right))};
  }

  Atom atom(const Node& n) {
    auto& used = out_.columns_used;
    if (n.column >= 0 && std::find(used.begin(), used.end(), n.column) == used.end()) used.push_back(n.column);
    return {n.column, n.integer, n.text};
  }

  const Tree& tree_;
  const std::vector<ColumnSchema>& columns_;
  Program& out_;
};

}  // namespace

Result<std::unique_ptr<Expression>> Expression::compile(std::string_view text,
                                                        const std::vector<ColumnSchema>& columns) {
  Tree tree;
  GYR_TRY(parse(text, columns, &tree));
  auto program = std::make_unique<Program>();
  program->condition = tree.nodes[size_t(tree.root)].type == Type::kCondition;
  Emitter(tree, columns, program.get()).emit(tree.root);
  program->sets = std::move(tree.sets);
  return std::unique_ptr<Expression>(std::move(program));
}

}  // namespace gyr
