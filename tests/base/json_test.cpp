#include "base/spec.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <limits>

#include "base/fp_mode.h"

namespace gyr {
namespace {

TEST(Json, NamesPathOfBadValue) {
  auto json = parse_json(R"({"k": 0, "dept": 3})", "test");
  ASSERT_TRUE(json.ok());
  SpecReader r(*json, "stages[2]", "test");
  int64_t k = 7;
  Status s = r.integer("k", 1, 65536, &k);
  EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_STREQ(s.message(), "stages[2].k: expected an integer in 1..65536, got 0");
  EXPECT_EQ(k, 7);
  int64_t depth;
  EXPECT_TRUE(r.integer("depth", 1, 9, &depth).ok());
  EXPECT_STREQ(r.finish().message(), "stages[2].dept: unknown key; did you mean \"depth\"?");
}

// Destructors and moves of a value must not allocate: see base/json.h.
static_assert(std::is_nothrow_move_constructible_v<Json> && std::is_nothrow_move_assignable_v<Json> &&
              std::is_nothrow_destructible_v<Json>);

std::string round_trip(std::string_view text) {
  auto json = parse_json(text, "test");
  return json.ok() ? json->dump() : json.status().message();
}

TEST(Json, WritesWhatItRead) {
  for (const char* text :
       {"null", "true", "[]", "{}", "-9223372036854775808", "18446744073709551615", "0.1", "1.0", "1e+300", "-2.5e-09",
        R"({"b":[1,{"a":[]}],"a":null})", R"(["\"\\\b\f\n\r\t\u0000\u0001é€😀"])", R"({"":{"x":[[[]]]}})"})
    EXPECT_EQ(round_trip(text), text);
  EXPECT_EQ(round_trip(" [ 1 , 2.50 , \"\\u00e9\\ud83d\\ude00\\/\" ] "), "[1,2.5,\"é😀/\"]");
  for (double v : {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789012345680.0}) {
    auto back = parse_json(Json(v).dump(), "test");
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->number(), v);
    EXPECT_FALSE(back->is_int64()) << Json(v).dump();
  }
  EXPECT_EQ(Json(std::numeric_limits<double>::quiet_NaN()).dump(), "null");
  EXPECT_EQ(Json(INFINITY).dump(), "null");
  EXPECT_EQ(Json("a\xff\xc3(b").dump(), "\"a\xEF\xBF\xBD\xEF\xBF\xBD(b\"");
  Json made = {{"list", std::vector<int>{1, 2}}, {"inner", Json{{"x", true}}}, {"none", nullptr}};
  made["more"]["deep"] = 3u;
  EXPECT_EQ(made.dump(), R"({"list":[1,2],"inner":{"x":true},"none":null,"more":{"deep":3}})");
  EXPECT_EQ(made.dump(1),
            "{\n \"list\": [\n  1,\n  2\n ],\n \"inner\": {\n  \"x\": true\n },\n \"none\": null,\n "
            "\"more\": {\n  \"deep\": 3\n }\n}");
}

// strtod rounds by the x87 control word, which fesetround sets too.
TEST(Json, NumbersDoNotFollowTheHostsRounding) {
  for (int mode : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
    ASSERT_EQ(fesetround(mode), 0);
    double tenth, third;
    {
      FpMode ours;  // as every call of the interface begins
      tenth = parse_json("0.1", "test")->number();
      third = parse_json("0.3333333333333333", "test")->number();
    }
    ASSERT_EQ(fesetround(FE_TONEAREST), 0);
    EXPECT_EQ(tenth, 0.1);
    EXPECT_EQ(third, 0.3333333333333333);
  }
  EXPECT_EQ(parse_json("-1e-999", "test")->number(), 0);
  EXPECT_EQ(parse_json("5e-324", "test")->number(), 5e-324);
}

TEST(Json, RefusesWhatIsNoSpec) {
  EXPECT_NE(round_trip(R"({"a":1,"b":2,"a":3})").find("key \"a\" is there twice"), std::string::npos);
  EXPECT_NE(round_trip("1e999").find("out_of_range"), std::string::npos);
  for (const char* text :
       {"[1,]", "{\"a\" 1}", "01", "nul", "'a'", "[1] 2", "\"\\ud800\"", "\"\\x\"", "\"\n\"", "// c\n1"})
    EXPECT_EQ(round_trip(text).find("not valid JSON: "), 0u) << text;
  EXPECT_TRUE(parse_json(std::string(32, '[') + std::string(32, ']'), "test").ok());
  EXPECT_FALSE(parse_json(std::string(33, '[') + std::string(33, ']'), "test").ok());
}

TEST(Json, ReadsByTypeAndRange) {
  auto json = parse_json(R"({"big":9223372036854775808,"f":1.5,"s":["a"],"n":[1,2.5],"i":[3],"w":"two"})", "test");
  ASSERT_TRUE(json.ok());
  SpecReader r(*json, "", "test");
  int64_t n = 0;
  double d = 0;
  std::string text;
  bool flag = false;
  int word = -1;
  std::vector<std::string> strings;
  std::vector<int64_t> integers;
  std::vector<double> numbers;
  EXPECT_FALSE(r.integer("big", INT64_MIN, INT64_MAX, &n).ok());
  EXPECT_FALSE(r.integer("f", 0, 9, &n).ok());
  EXPECT_TRUE(r.number("big", 0, 1e19, &d).ok());
  EXPECT_EQ(d, 9223372036854775808.0);
  EXPECT_FALSE(r.number("f", 2, 3, &d).ok());
  EXPECT_FALSE(r.number("w", 2, 3, &d).ok());
  EXPECT_FALSE(r.string("f", &text).ok());
  EXPECT_FALSE(r.boolean("f", &flag).ok());
  EXPECT_TRUE(r.strings("s", &strings).ok());
  EXPECT_EQ(strings, std::vector<std::string>{"a"});
  EXPECT_FALSE(r.strings("n", &strings).ok());
  EXPECT_FALSE(r.strings("w", &strings).ok());
  EXPECT_TRUE(r.numbers("n", &numbers).ok());
  EXPECT_EQ(numbers, (std::vector<double>{1, 2.5}));
  EXPECT_FALSE(r.numbers("s", &numbers).ok());
  EXPECT_FALSE(r.numbers("w", &numbers).ok());
  EXPECT_TRUE(r.integers("i", 0, 9, &integers).ok());
  EXPECT_FALSE(r.integers("i", 4, 9, &integers).ok());
  EXPECT_FALSE(r.integers("n", 0, 9, &integers).ok());
  EXPECT_FALSE(r.integers("w", 0, 9, &integers).ok());
  EXPECT_TRUE(r.choice("w", {"one", "two"}, &word).ok());
  EXPECT_EQ(word, 1);
  EXPECT_STREQ(r.choice("f", {"one", "two"}, &word).message(), "f: expected one of \"one\", \"two\", got 1.5");
  EXPECT_FALSE(r.required_strings("w", &strings).ok());
  EXPECT_TRUE(r.finish().ok());
  EXPECT_FALSE(r.required_string("none", &text).ok());
  EXPECT_FALSE(r.required_integer("none", 0, 1, &n).ok());
  EXPECT_FALSE(r.required_strings("none", &strings).ok());
  EXPECT_FALSE(SpecReader(Json(3), "x", "test").finish().ok());
  EXPECT_FALSE(SpecReader(Json(3), "", "test").finish().ok());
  auto long_values = parse_json("{\"empty\":[],\"long\":\"" + std::string(35, 'a') + "\u00e9\u00e9\"}", "test");
  ASSERT_TRUE(long_values.ok());
  SpecReader in(*long_values, "in", "test");
  EXPECT_STREQ(in.required_strings("empty", &strings).message(), "in.empty: must not be empty");
  // Cut between characters, not inside one.
  EXPECT_EQ(in.integer("long", 0, 1, &n).message(),
            "in.long: expected an integer in 0..1, got \"" + std::string(35, 'a') + "...");
  Json unknown = {{"zzzzzzzzzzzz", 1}};
  EXPECT_STREQ(SpecReader(unknown, "", "test").finish().message(), "zzzzzzzzzzzz: unknown key");
  SpecReader other(unknown, "", "test");
  other.has("name"), (void)other.value("name"), (void)other.value("list");
  EXPECT_STREQ(other.finish().message(), "zzzzzzzzzzzz: unknown key; known: name, list");
}

TEST(Json, RefusesWhatFollowsANul) {
  for (std::string_view text :
       {std::string_view("{}\0", 3), std::string_view("[1,\0", 4), std::string_view("\"\0\"", 3)}) {
    Status status = std::move(parse_json(text, "test").status());
    EXPECT_EQ(status.code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(status.message()).find("NUL"), std::string::npos) << status.message();
  }
}

TEST(Json, RefusesDeepNestingAndGarbage) {
  EXPECT_EQ(parse_json(std::string(100000, '['), "test").status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_json("{\"a\":", "test").status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_json("", "test").status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_json("{\"a\":\"\xff\"}", "test").status().code(), GYR_E_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace gyr
