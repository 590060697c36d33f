// Expressions broken in every place: refused with a position, or read as what they now are.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/expression.h"

namespace gyr {
namespace {

const std::vector<ColumnSchema>& schema() {
  static const std::vector<ColumnSchema> columns = {
      {"id", GYR_DTYPE_INT64, false, 0, 0, {}, {}},       {"age", GYR_DTYPE_FLOAT32, false, 0, 0, {}, {}},
      {"name", GYR_DTYPE_STRING, false, 0, 0, {}, {}},    {"flag", GYR_DTYPE_BOOL, false, 0, 0, {}, {}},
      {"genres", GYR_DTYPE_STRING, true, 0, 0, {}, {}},   {"history", GYR_DTYPE_INT64, true, 0, 0, {}, {}},
      {"odd name", GYR_DTYPE_INT64, false, 0, 0, {}, {}}, {"Big_1", GYR_DTYPE_INT64, false, 0, 0, {}, {}}};
  return columns;
}

// The message, empty when it compiles.
std::string refusal(const std::string& text) {
  auto e = Expression::compile(text, schema());
  if (e.ok()) return "";
  EXPECT_EQ(e.status().code(), GYR_E_INVALID_ARGUMENT) << text;
  return e.status().message();
}

const char* const kTexts[] = {
    "age is not null and not name == 'it''s' or flag",
    "- -id + 2.5e-3 * (age - 1E+2) / -3 >= min(id, age, `odd name`) - abs(-age)",
    "id not in [1, -2, 3] and name in ['a', 'b'] and id in history and name not in genres",
    "flag == true or flag != false and\n\t(id is null)\r and Big_1 <= 7",
    "log(age) < exp(1) and sqrt(id) > .5 and max(1, 2) != 1.",
};

TEST(ExpressionMistakes, BrokenInEveryPlace) {
  int refused = 0;
  for (const std::string text : kTexts) {
    ASSERT_EQ(refusal(text), "") << text;
    for (size_t at = 0; at <= text.size(); at++) {
      refused += !refusal(text.substr(0, at)).empty();
      for (const char* put : {"@",
                              "\"",
                              "&",
                              "|",
                              "!",
                              "=",
                              "'",
                              "`",
                              "1e",
                              "1x",
                              " 99999999999999999999 ",
                              "(",
                              ")",
                              "[",
                              "]",
                              ",",
                              " not ",
                              " in ",
                              " is ",
                              " null ",
                              " and ",
                              " or ",
                              " true ",
                              " 'x' ",
                              " genres ",
                              " name ",
                              " flag ",
                              " 7 ",
                              "-",
                              "<",
                              "==",
                              "e+",
                              "{",
                              "~",
                              "\x01",
                              "\xc3\xa9"})
        refused += !refusal(text.substr(0, at) + put + text.substr(at)).empty();
      for (size_t n : {1, 2, 5})
        if (at + n <= text.size()) refused += !refusal(text.substr(0, at) + text.substr(at + n)).empty();
    }
  }
  EXPECT_GT(refused, 5000);
}

// The limit on an expression's length, met inside every construct: 2000 operations in all.
TEST(ExpressionMistakes, TooLongInEveryConstruct) {
  for (const char* construct :
       {"X is null", "X is not null", "X in [1]", "X not in [1, 2]", "X in history", "abs(X) == 1", "min(X, 1, 2) == 1",
        "not X == 1", "-X == 1", "X * X2 == 1", "X == 1 and flag", "X == 1 or true", "X == 1 and name == 'a'",
        "X - (1 + 2) < -3", "X == 1 and flag == false"}) {
    int refused = 0, taken = 0;
    for (int terms = 985; terms <= 1001; terms++) {
      std::string sum = "(age", text = construct;
      for (int i = 1; i < terms; i++) sum += "+1";
      sum += ")";
      if (size_t second = text.find("X2"); second != text.npos) text.replace(second, 2, "2");
      text.replace(text.find('X'), 1, sum);
      std::string why = refusal(text);
      (why.empty() ? taken : refused)++;
      EXPECT_TRUE(why.empty() || why.find("2000 operations") != why.npos) << construct << ": " << why;
    }
    EXPECT_GT(taken, 0) << construct;
    EXPECT_GT(refused, 0) << construct;
  }
  EXPECT_NE(refusal("age == " + std::string(1 << 20, ' ') + "1").find("1 MiB"), std::string::npos);
}

}  // namespace
}  // namespace gyr
