#include "data/expression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <optional>

#include "base/random.h"

namespace gyr {
namespace {

constexpr int64_t kBig = (int64_t(1) << 53) + 1;  // not a double

struct Data {
  Batch batch;
  std::vector<ColumnSchema> schema;

  Column& add(const char* name, gyr_dtype type, bool list = false) {
    schema.push_back({name, type, list, 0, 0, {}, {}});
    return batch.add(name, type, list);
  }
  std::vector<const Column*> columns() const {
    std::vector<const Column*> p;
    for (const Column& c : batch.columns) p.push_back(&c);
    return p;
  }
  Data() {
    batch.columns.reserve(16);
    Column &id = add("id", GYR_DTYPE_INT64), &age = add("age", GYR_DTYPE_FLOAT32),
           &name = add("name", GYR_DTYPE_STRING);
    Column &flag = add("flag", GYR_DTYPE_BOOL), &genres = add("genres", GYR_DTYPE_STRING, true);
    Column &history = add("history", GYR_DTYPE_INT32, true), &odd = add("odd name", GYR_DTYPE_INT8);
    Column& weights = add("weights", GYR_DTYPE_FLOAT64, true);
    // Row 0.
    id.push_int(kBig), age.push_float(20), name.push_string("it's"), flag.push_int(1), odd.push_int(-3);
    genres.push_string("Drama"), genres.push_string("War"), genres.end_list();
    history.push_int(5), history.push_null_leaf(), history.end_list();
    weights.push_float(0.5), weights.end_list();
    // Row 1: nulls.
    id.push_null_row(), age.push_null_row(), name.push_null_row(), flag.push_null_row(), odd.push_null_row();
    genres.push_null_row(), history.push_null_row(), weights.push_null_row();
    // Row 2.
    id.push_int(5), age.push_float(std::nan("")), name.push_string(""), flag.push_int(0), odd.push_int(4);
    genres.end_list(), history.push_int(7), history.push_int(5), history.end_list(), weights.end_list();
    batch.rows = 3;
  }
};

// The rows kept, as "101".
std::string keep(const char* text) {
  Data d;
  auto e = Expression::compile(text, d.schema);
  if (!e.ok()) return e.status().message();
  Expression::Scratch scratch;
  std::vector<uint8_t> kept;
  Status s = (*e)->run_condition(d.columns(), d.batch.rows, &scratch, &kept);
  if (!s.ok()) return s.message();
  std::string shown;
  for (uint8_t k : kept) shown += char('0' + k);
  return shown;
}

TEST(Expression, Conditions) {
  EXPECT_EQ(keep("id == 9007199254740993"), "100");
  EXPECT_EQ(keep("id == 9007199254740992"), "000");  // a double could not tell
  EXPECT_EQ(keep("id in [9007199254740992, 5]"), "001");
  EXPECT_EQ(keep("id in [5.0, 2.5]"), "001");
  EXPECT_EQ(keep("id not in [5]"), "100");
  EXPECT_EQ(keep("age >= 18"), "100");
  EXPECT_EQ(keep("age is null"), "011");  // NaN counts as null
  EXPECT_EQ(keep("age is not null"), "100");
  EXPECT_EQ(keep("not (age >= 18)"), "000");
  EXPECT_EQ(keep("name == 'it''s'"), "100");
  EXPECT_EQ(keep("name < 'a'"), "001");
  EXPECT_EQ(keep("name in ['', 'x']"), "001");
  EXPECT_EQ(keep("name is null or name == ''"), "011");
  EXPECT_EQ(keep("flag"), "100");
  EXPECT_EQ(keep("not flag"), "001");
  EXPECT_EQ(keep("not not flag"), "100");
  EXPECT_EQ(keep("flag == false"), "001");
  EXPECT_EQ(keep("'Drama' in genres"), "100");
  EXPECT_EQ(keep("'Drama' not in genres"), "001");
  EXPECT_EQ(keep("genres is null"), "010");
  EXPECT_EQ(keep("5 in history"), "101");
  EXPECT_EQ(keep("id in history"), "001");
  EXPECT_EQ(keep("2.5 * 2 in history"), "101");
  EXPECT_EQ(keep("0.5 in weights"), "100");
  EXPECT_EQ(keep("0 in history"), "000");  // the null element's placeholder is not a value
  EXPECT_EQ(keep("`odd name` == -3"), "100");
  EXPECT_EQ(keep("- - `odd name` > -abs(-2.5)"), "001");
  EXPECT_EQ(keep("id > -9223372036854775808"), "101");
  EXPECT_EQ(keep("true"), "111");
  EXPECT_EQ(keep("1 < 2 and 'a' < 'b' and 'a' is not null"), "111");
  EXPECT_EQ(keep("min(3, 1, 2) == 1 and max(3, 1.5, 2) == 3"), "111");
  EXPECT_EQ(keep("log(-1) is null and 0 / 0 is null and 1 / 0 > 1e300"), "111");
}

TEST(Expression, KleeneLogic) {
  const char* names[] = {"true", "false", "flag"};  // row 1 of flag is null
  auto value = [](const char* n) {
    return n[0] == 't' ? std::optional<bool>(true) : n[1] == 'a' ? std::optional<bool>(false) : std::nullopt;
  };
  for (const char* a : names)
    for (const char* b : names) {
      auto x = value(a), y = value(b);
      std::optional<bool> both, either;
      if (x == false || y == false)
        both = false;
      else if (x && y)
        both = true;
      if (x == true || y == true)
        either = true;
      else if (x && y)
        either = false;
      auto text = [&](const char* op) { return std::string(a) + " " + op + " " + b; };
      EXPECT_EQ(keep(text("and").c_str())[1], both.value_or(false) ? '1' : '0');
      EXPECT_EQ(keep(("not (" + text("and") + ")").c_str())[1], both.value_or(true) ? '0' : '1');
      EXPECT_EQ(keep(("(" + text("or") + ") is null").c_str())[1], either ? '0' : '1');
      EXPECT_EQ(keep(text("or").c_str())[1], either.value_or(false) ? '1' : '0');
    }
}

TEST(Expression, ErrorsNameThePosition) {
  auto expect = [](const char* text, const char* message) { EXPECT_EQ(keep(text), message) << text; };
  expect("agee > 1", "expression, character 1: unknown column \"agee\"; odd names stand in `backticks`");
  expect("age > ", "expression, character 7: expected a value, but the text ends");
  expect("age = 1", "expression, character 5: use == to compare");
  expect("age > 1 && flag", "expression, character 9: use the words and, or, not");
  expect("name == \"x\"", "expression, character 9: strings stand in single quotes, column names in backticks");
  expect("name == 'x", "expression, character 9: no closing quote");
  expect("name > 3", "expression, character 6: > needs a string, got a number");
  expect("flag == 1", "expression, character 6: == needs a condition, got a number");
  expect("flag < true", "expression, character 6: conditions are compared with == and != only");
  expect("1 < 2 < 3", "expression, character 7: comparisons do not chain; write a < b and b < c");
  expect("age + name", "expression, character 5: arithmetic needs a number, got a string");
  expect("age and flag", "expression, character 5: and needs a condition, got a number");
  expect("not not age", "expression, character 1: not needs a condition, got a number");
  expect("genres", "expression, character 1: is a list; use `... in list`");
  expect("'x' in history", "expression, character 5: the list holds numbers");
  expect("5 in genres", "expression, character 3: the list holds strings");
  expect("id in [1, 'a']", "expression, character 11: the list's values differ in type from what is looked for");
  expect("id in []", "expression, character 8: expected a literal, got \"]\"");
  expect("pow(1, 2)", "expression, character 1: unknown function; there are min max abs log exp sqrt");
  expect("min(1) > 0", "expression, character 1: min and max need two arguments or more");
  expect("99999999999999999999 > id", "expression, character 1: not a number that fits in 64 bits");
  expect("1x > id", "expression, character 2: a number ends in a letter");
  expect("id > 1 id", "expression, character 8: expected an operator or the end, got \"id\"");
  expect("", "expression, character 1: expected a value, but the text ends");
  expect("\xff", "expression, character 1: is not UTF-8");
  expect("age", "the expression is a number, a condition is needed");
}

TEST(Expression, HostileTextsFailAndDoNotOverflow) {
  auto repeat = [](const char* s, int n, const char* tail) {
    std::string r;
    for (int i = 0; i < n; i++) r += s;
    return r + tail;
  };
  EXPECT_NE(keep(repeat("(", 100000, "").c_str()).find("nested too deeply"), std::string::npos);
  EXPECT_NE(keep(repeat("abs(", 100000, "").c_str()).find("nested too deeply"), std::string::npos);
  EXPECT_NE(keep(repeat("1+", 5000, "1 > 0").c_str()).find("too long"), std::string::npos);
  EXPECT_EQ(keep(repeat("1+", 900, "1 == 901").c_str()), "111");
  EXPECT_EQ(keep(repeat("not ", 100000, "flag").c_str()), "100");
  EXPECT_EQ(keep(repeat("-", 100000, "1 == 1").c_str()), "111");
  Random random(7);
  const char* words[] = {"age", "id", "name", "genres", "flag", "(",   ")",    "[",         "]",   ",",
                         "+",   "-",  "*",    "/",      "==",   "<",   "in",   "is",        "not", "null",
                         "and", "or", "1",    "2.5",    "'a'",  "min", "true", "`odd name`"};
  int compiled = 0;
  for (int i = 0; i < 20000; i++) {
    std::string text;
    for (uint64_t n = 1 + random.below(8); n > 0; n--) text += std::string(words[random.below(std::size(words))]) + " ";
    std::string result = keep(text.c_str());
    EXPECT_FALSE(result.empty());
    compiled += result.find("expression") == std::string::npos;
  }
  EXPECT_GT(compiled, 100);
}

// Random arithmetic against the same tree evaluated by hand, scratch reused across batches of different sizes.
struct Oracle {
  Random random{42};
  std::string text;
  std::function<double(int64_t)> make(Data& d, int depth) {
    uint64_t pick = depth == 0 ? random.below(3) : random.below(9);
    const Column& id = d.batch.columns[6];
    const Column& age = d.batch.columns[1];
    if (pick == 0)
      return text += "`odd name`", [&id](int64_t i) { return id.leaf_is_valid(i) ? double(id.ints[size_t(i)]) : NAN; };
    if (pick == 1)
      return text += "age", [&age](int64_t i) { return age.leaf_is_valid(i) ? age.floats[size_t(i)] : NAN; };
    if (pick == 2) {
      int v = int(random.below(100));
      text += std::to_string(v);
      return [v](int64_t) { return double(v); };
    }
    if (pick >= 7) {
      text += pick == 7 ? "sqrt(" : "min(";
      auto a = make(d, depth - 1);
      if (pick == 7) return text += ")", [a](int64_t i) { return std::sqrt(a(i)); };
      text += ", ";
      auto b = make(d, depth - 1);
      return text += ")", [a, b](int64_t i) {
        double x = a(i), y = b(i);
        return x != x || y != y ? NAN : std::min(x, y);
      };
    }
    text += "(";
    auto a = make(d, depth - 1);
    text += std::string(" ") + "+-*/"[pick - 3] + " ";
    auto b = make(d, depth - 1);
    text += ")";
    return [a, b, pick](int64_t i) {
      double x = a(i), y = b(i);
      return pick == 3 ? x + y : pick == 4 ? x - y : pick == 5 ? x * y : x / y;
    };
  }
};

TEST(Expression, NumbersAgreeWithAnOracle) {
  Data d;
  Oracle oracle;
  Expression::Scratch scratch;
  std::vector<double> got;
  for (int n = 0; n < 500; n++) {
    oracle.text.clear();
    auto want = oracle.make(d, 4);
    auto e = Expression::compile(oracle.text, d.schema);
    ASSERT_TRUE(e.ok()) << oracle.text << e.status().message();
    int64_t rows = 1 + n % 3;
    ASSERT_TRUE((*e)->run_number(d.columns(), rows, &scratch, &got).ok());
    ASSERT_EQ(got.size(), size_t(rows));
    for (int64_t i = 0; i < rows; i++) {
      double w = want(i), g = got[size_t(i)];
      EXPECT_TRUE(w == g || (w != w && g != g)) << oracle.text << " row " << i << ": " << w << " vs " << g;
    }
  }
}

TEST(Expression, ReadsOnlyTheColumnsItUses) {
  Data d;
  auto e = Expression::compile("'War' in genres and (id is null or age > id)", d.schema);
  ASSERT_TRUE(e.ok());
  std::vector<int> used = (*e)->used();
  std::sort(used.begin(), used.end());
  EXPECT_EQ(used, (std::vector<int>{0, 1, 4}));
  auto columns = d.columns();
  for (size_t i : {2, 3, 5, 6, 7}) columns[i] = nullptr;
  Expression::Scratch scratch;
  std::vector<uint8_t> kept;
  EXPECT_TRUE((*e)->run_condition(columns, 3, &scratch, &kept).ok());
  columns[4] = nullptr;
  EXPECT_EQ((*e)->run_condition(columns, 3, &scratch, &kept).code(), GYR_E_INTERNAL);
  std::vector<double> numbers;
  EXPECT_EQ((*e)->run_number(d.columns(), 3, &scratch, &numbers).code(), GYR_E_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace gyr
