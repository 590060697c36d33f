#include "data/expression_parse.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/column.h"
#include "base/utf8.h"

namespace gyr::expression {
namespace {

constexpr size_t kMaxText = 1 << 20;
constexpr size_t kMaxNodes = 2000;
constexpr int kMaxDepth = 64;

struct Token {
  enum Kind : uint8_t { kEnd, kName, kQuotedName, kNumber, kString, kSign } kind = kEnd;
  std::string_view text;  // of strings and quoted names: without the quotes
  size_t at = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

const char* type_text(Type t) {
  switch (t) {
    case Type::kNumber:
      return "a number";
    case Type::kCondition:
      return "a condition";
    case Type::kString:
      return "a string";
    case Type::kList:
      break;
  }
  return "a list";
}

class Parser {
 public:
  Parser(std::string_view text, const std::vector<ColumnSchema>& columns, Tree* out)
      : text_(text), columns_(columns), tree_(*out) {}

  Status run() {
    if (text_.size() > kMaxText) return error(0, "is longer than 1 MiB");
    if (!valid_utf8(text_)) return error(0, "is not UTF-8");
    GYR_TRY(advance());
    GYR_TRY(parse_or(&tree_.root));
    if (token_.kind != Token::kEnd) return unexpected("an operator or the end");
    Type type = node(tree_.root).type;
    if (type == Type::kNumber || type == Type::kCondition) return {};
    return error(0, type == Type::kString ? "is a string; compare it with something" : "is a list; use `... in list`");
  }

 private:
  // ---- tokens ----
  Status error(size_t at, const char* what) const {
    return fail(GYR_E_INVALID_ARGUMENT, "expression", "expression, character %zu: %s", at + 1, what);
  }
  Status unexpected(const char* expected) const {
    char what[160];
    if (token_.kind == Token::kEnd)
      std::snprintf(what, sizeof what, "expected %s, but the text ends", expected);
    else
      std::snprintf(what, sizeof what, "expected %s, got \"%.40s\"", expected, std::string(token_.text).c_str());
    return error(token_.at, what);
  }

  Status advance() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      at_++;
    token_ = {Token::kEnd, {}, at_};
    if (at_ == text_.size()) return {};
    char c = text_[at_];
    if (starts_name(c)) return take(Token::kName, [](char k) { return starts_name(k) || is_digit(k) || k == '.'; });
    if (is_digit(c) || c == '.') return take_number();
    if (c == '\'' || c == '`') return take_quoted(c);
    for (std::string_view two : {"==", "!=", "<=", ">="})
      if (text_.substr(at_, 2) == two) return set_token(Token::kSign, 2);
    if (std::string_view("+-*/<>()[],").find(c) != std::string_view::npos) return set_token(Token::kSign, 1);
    if (c == '=') return error(at_, "use == to compare");
    if (c == '&' || c == '|' || c == '!') return error(at_, "use the words and, or, not");
    if (c == '"') return error(at_, "strings stand in single quotes, column names in backticks");
    return error(at_, "unexpected character");
  }
  Status set_token(Token::Kind kind, size_t size) {
    token_ = {kind, text_.substr(at_, size), at_};
    at_ += size;
    return {};
  }
  template <class More>
  Status take(Token::Kind kind, More more) {
    size_t size = 1;
    while (at_ + size < text_.size() && more(text_[at_ + size])) size++;
    return set_token(kind, size);
  }
  Status take_number() {
    size_t i = at_;
    auto digits = [&] {
      while (i < text_.size() && is_digit(text_[i])) i++;
    };
    digits();
    if (i < text_.size() && text_[i] == '.') i++, digits();
    if (i < text_.size() && (text_[i] == 'e' || text_[i] == 'E')) {
      i++;
      if (i < text_.size() && (text_[i] == '+' || text_[i] == '-')) i++;
      digits();
    }
    if (i < text_.size() && starts_name(text_[i])) return error(i, "a number ends in a letter");
    return set_token(Token::kNumber, i - at_);
  }
  Status take_quoted(char quote) {
    size_t start = at_, i = at_ + 1;
    for (;; i++) {
      if (i >= text_.size()) return error(start, quote == '`' ? "no closing backtick" : "no closing quote");
      if (text_[i] != quote) continue;
      if (quote != '\'' || i + 1 >= text_.size() || text_[i + 1] != quote) break;
      i++;  // '' stands for one quote
    }
    token_ = {quote == '`' ? Token::kQuotedName : Token::kString, text_.substr(start + 1, i - start - 1), start};
    at_ = i + 1;
    return {};
  }
  bool is(std::string_view word) const {
    return (token_.kind == Token::kName || token_.kind == Token::kSign) && token_.text == word;
  }
  Status expect(const char* word) {
    if (!is(word)) return unexpected(word);
    return advance();
  }

  // ---- nodes ----
  Node& node(int i) { return tree_.nodes[size_t(i)]; }
  Status add(Node n, int* out) {
    if (tree_.nodes.size() >= kMaxNodes) return error(token_.at, "the expression is too long (2000 operations)");
    *out = int(tree_.nodes.size());
    tree_.nodes.push_back(std::move(n));
    return {};
  }
  Status require(int i, Type type, size_t at, const char* where) {
    if (node(i).type == type) return {};
    char what[120];
    std::snprintf(what, sizeof what, "%s needs %s, got %s", where, type_text(type), type_text(node(i).type));
    return error(at, what);
  }
  Status combine(ExprOp op, Type type, int left, int right, int* out) {
    Node n{op, type};
    n.left = left;
    n.right = right;
    return add(std::move(n), out);
  }

  // ---- grammar ----
  Status parse_or(int* out) {
    if (++depth_ > kMaxDepth) return error(token_.at, "nested too deeply (64 levels)");
    GYR_TRY(parse_and(out));
    while (is("or")) GYR_TRY(parse_logic(ExprOp::kOr, out));
    depth_--;
    return {};
  }
  Status parse_and(int* out) {
    GYR_TRY(parse_not(out));
    while (is("and")) GYR_TRY(parse_logic(ExprOp::kAnd, out));
    return {};
  }
  Status parse_logic(ExprOp op, int* out) {
    size_t at = token_.at;
    const char* word = op == ExprOp::kOr ? "or" : "and";
    int right = -1;
    GYR_TRY(require(*out, Type::kCondition, at, word));
    GYR_TRY(advance());
    GYR_TRY(op == ExprOp::kOr ? parse_and(&right) : parse_not(&right));
    GYR_TRY(require(right, Type::kCondition, at, word));
    return combine(op, Type::kCondition, *out, right, out);
  }
  Status parse_not(int* out) {
    size_t at = token_.at;
    int count = 0;
    for (; is("not"); count++) GYR_TRY(advance());
    GYR_TRY(parse_comparison(out));
    if (count) GYR_TRY(require(*out, Type::kCondition, at, "not"));
    return count % 2 ? combine(ExprOp::kNot, Type::kCondition, *out, -1, out) : Status();
  }
  Status parse_comparison(int* out) {
    GYR_TRY(parse_sum(out));
    if (is("is")) return parse_is_null(out);
    if (is("in") || is("not")) return parse_in(out);
    static constexpr std::pair<const char*, ExprOp> kSigns[] = {{"==", ExprOp::kEqual},  {"!=", ExprOp::kNotEqual},
                                                            {"<", ExprOp::kLess},    {"<=", ExprOp::kLessEqual},
                                                            {">", ExprOp::kGreater}, {">=", ExprOp::kGreaterEqual}};
    auto sign = std::find_if(std::begin(kSigns), std::end(kSigns), [&](auto& s) { return is(s.first); });
    if (sign == std::end(kSigns)) return {};
    size_t at = token_.at;
    int right = -1;
    GYR_TRY(advance());
    GYR_TRY(parse_sum(&right));
    Type type = node(*out).type;
    if (type == Type::kList) return error(at, "lists are not compared; use `... in list`");
    GYR_TRY(require(right, type, at, sign->first));
    if (type == Type::kCondition && sign->second > ExprOp::kNotEqual)
      return error(at, "conditions are compared with == and != only");
    for (auto& s : kSigns)
      if (is(s.first)) return error(token_.at, "comparisons do not chain; write a < b and b < c");
    return combine(sign->second, Type::kCondition, *out, right, out);
  }
  Status parse_is_null(int* out) {
    GYR_TRY(advance());
    bool negate = is("not");
    if (negate) GYR_TRY(advance());
    GYR_TRY(expect("null"));
    GYR_TRY(combine(ExprOp::kIsNull, Type::kCondition, *out, -1, out));
    return negate ? combine(ExprOp::kNot, Type::kCondition, *out, -1, out) : Status();
  }
  Status parse_in(int* out) {
    bool negate = is("not");
    if (negate) GYR_TRY(advance());
    size_t at = token_.at;
    GYR_TRY(expect("in"));
    int right = -1;
    Type type = node(*out).type;
    if (type != Type::kNumber && type != Type::kString) return error(at, "left of `in` stands a number or a string");
    if (is("[")) {
      GYR_TRY(parse_set(type));
      Node n{ExprOp::kInSet, Type::kCondition};
      n.left = *out;
      n.set = int(tree_.sets.size()) - 1;
      GYR_TRY(add(std::move(n), out));
    } else {
      GYR_TRY(parse_primary(&right));
      GYR_TRY(require(right, Type::kList, at, "in"));
      const ColumnSchema& list = columns_[size_t(node(right).column)];
      if ((physical_of(list.dtype) == Physical::kString) != (type == Type::kString))
        return error(at, type == Type::kString ? "the list holds numbers" : "the list holds strings");
      GYR_TRY(combine(ExprOp::kInList, Type::kCondition, *out, right, out));
    }
    return negate ? combine(ExprOp::kNot, Type::kCondition, *out, -1, out) : Status();
  }
  Status parse_set(Type type) {
    Set set;
    set.strings = type == Type::kString;
    set.integers = !set.strings;
    do {
      GYR_TRY(advance());
      Node literal{ExprOp::kNumber, Type::kNumber};
      size_t at = token_.at;
      GYR_TRY(parse_literal(&literal));
      if (literal.type != type) return error(at, "the list's values differ in type from what is looked for");
      if (set.strings)
        set.texts.push_back(std::move(literal.text));
      else
        set.numbers.push_back(literal.number), set.ints.push_back(literal.integer);
      set.integers &= literal.op == ExprOp::kInteger;
    } while (is(","));
    GYR_TRY(expect("]"));
    std::sort(set.ints.begin(), set.ints.end());
    std::sort(set.numbers.begin(), set.numbers.end());
    std::sort(set.texts.begin(), set.texts.end());
    tree_.sets.push_back(std::move(set));
    return {};
  }
  Status parse_sum(int* out) {
    GYR_TRY(parse_product(out));
    while (is("+") || is("-")) GYR_TRY(parse_arithmetic(is("+") ? ExprOp::kAdd : ExprOp::kSubtract, out));
    return {};
  }
  Status parse_product(int* out) {
    GYR_TRY(parse_unary(out));
    while (is("*") || is("/")) GYR_TRY(parse_arithmetic(is("*") ? ExprOp::kMultiply : ExprOp::kDivide, out));
    return {};
  }
  Status parse_arithmetic(ExprOp op, int* out) {
    size_t at = token_.at;
    int right = -1;
    GYR_TRY(require(*out, Type::kNumber, at, "arithmetic"));
    GYR_TRY(advance());
    GYR_TRY(op <= ExprOp::kSubtract ? parse_product(&right) : parse_unary(&right));
    GYR_TRY(require(right, Type::kNumber, at, "arithmetic"));
    return combine(op, Type::kNumber, *out, right, out);
  }
  Status parse_unary(int* out) {
    size_t at = token_.at;
    int count = 0;
    for (; is("-"); count++) GYR_TRY(advance());
    if (count % 2 && token_.kind == Token::kNumber) return parse_number(true, out);
    GYR_TRY(parse_primary(out));
    if (count) GYR_TRY(require(*out, Type::kNumber, at, "-"));
    return count % 2 ? combine(ExprOp::kNegate, Type::kNumber, *out, -1, out) : Status();
  }
  Status parse_primary(int* out) {
    if (is("(")) {
      GYR_TRY(advance());
      GYR_TRY(parse_or(out));
      return expect(")");
    }
    if (token_.kind == Token::kNumber) return parse_number(false, out);
    if (token_.kind == Token::kString || is("true") || is("false")) {
      Node n{ExprOp::kBool, Type::kCondition};
      GYR_TRY(parse_literal(&n));
      return add(std::move(n), out);
    }
    if (token_.kind == Token::kName || token_.kind == Token::kQuotedName) return parse_name(out);
    return unexpected("a value");
  }
  Status parse_number(bool negative, int* out) {
    Node n{ExprOp::kNumber, Type::kNumber};
    GYR_TRY(number_of(negative, &n));
    return add(std::move(n), out);
  }
  Status number_of(bool negative, Node* n) {
    std::string digits = (negative ? "-" : "") + std::string(token_.text);
    const char *begin = digits.data(), *end = begin + digits.size();
    n->op = digits.find_first_of(".eE") == std::string::npos ? ExprOp::kInteger : ExprOp::kNumber;
    auto read =
        n->op == ExprOp::kInteger ? std::from_chars(begin, end, n->integer) : std::from_chars(begin, end, n->number);
    if (read.ec != std::errc() || read.ptr != end) return error(token_.at, "not a number that fits in 64 bits");
    if (n->op == ExprOp::kInteger) n->number = double(n->integer);
    return advance();
  }
  Status parse_literal(Node* n) {
    if (token_.kind == Token::kNumber) return number_of(false, n);
    if (is("-")) {
      GYR_TRY(advance());
      if (token_.kind != Token::kNumber) return unexpected("a number");
      return number_of(true, n);
    }
    if (token_.kind == Token::kString) {
      n->op = ExprOp::kString;
      n->type = Type::kString;
      for (size_t i = 0; i < token_.text.size(); i++) {
        n->text += token_.text[i];
        if (token_.text[i] == '\'') i++;
      }
      return advance();
    }
    if (!is("true") && !is("false")) return unexpected("a literal");
    n->op = ExprOp::kBool;
    n->type = Type::kCondition;
    n->number = is("true");
    return advance();
  }
  Status parse_name(int* out) {
    Token name = token_;
    GYR_TRY(advance());
    if (name.kind == Token::kName && is("(")) return parse_call(name, out);
    for (size_t i = 0; i < columns_.size(); i++) {
      if (columns_[i].name != name.text) continue;
      const ColumnSchema& c = columns_[i];
      Node n{ExprOp::kColumn, Type::kNumber};
      n.column = int(i);
      if (c.is_list)
        n.type = Type::kList;
      else if (c.dtype == GYR_DTYPE_STRING)
        n.type = Type::kString;
      else if (c.dtype == GYR_DTYPE_BOOL)
        n.type = Type::kCondition;
      return add(std::move(n), out);
    }
    char what[160];
    std::snprintf(what, sizeof what, "unknown column \"%.60s\"; odd names stand in `backticks`",
                  std::string(name.text).c_str());
    return error(name.at, what);
  }
  Status parse_call(const Token& name, int* out) {
    static constexpr std::pair<const char*, ExprOp> kFunctions[] = {{"min", ExprOp::kMin}, {"max", ExprOp::kMax},
                                                                {"abs", ExprOp::kAbs}, {"log", ExprOp::kLog},
                                                                {"exp", ExprOp::kExp}, {"sqrt", ExprOp::kSqrt}};
    auto f = std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](auto& k) { return name.text == k.first; });
    if (f == std::end(kFunctions)) return error(name.at, "unknown function; there are min max abs log exp sqrt");
    bool many = f->second == ExprOp::kMin || f->second == ExprOp::kMax;
    int count = 0;
    do {
      GYR_TRY(advance());
      int argument = -1;
      GYR_TRY(parse_or(&argument));
      GYR_TRY(require(argument, Type::kNumber, name.at, f->first));
      if (count++ == 0)
        *out = argument;
      else
        GYR_TRY(combine(f->second, Type::kNumber, *out, argument, out));
    } while (many && is(","));
    if (many && count < 2) return error(name.at, "min and max need two arguments or more");
    if (!many) GYR_TRY(combine(f->second, Type::kNumber, *out, -1, out));
    return expect(")");
  }

  std::string_view text_;
  const std::vector<ColumnSchema>& columns_;
  Tree& tree_;
  Token token_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Status parse(std::string_view text, const std::vector<ColumnSchema>& columns, Tree* out) {
  return Parser(text, columns, out).run();
}

}  // namespace gyr::expression
