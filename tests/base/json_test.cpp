#include "base/json.h"

#include <gtest/gtest.h>

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

TEST(Json, RefusesDeepNestingAndGarbage) {
  EXPECT_EQ(parse_json(std::string(100000, '['), "test").status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_json("{\"a\":", "test").status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_json("", "test").status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_json("{\"a\":\"\xff\"}", "test").status().code(), GYR_E_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace gyr
