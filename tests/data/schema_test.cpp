#include "data/schema.h"

#include <gtest/gtest.h>

namespace gyr {
namespace {

TEST(Tags, CompoundsSplitAndUnknownFail) {
  uint32_t tags = 0;
  ASSERT_TRUE(parse_tags({"user_id", "text_tokenized", "binary_classification"}, &tags).ok());
  EXPECT_EQ(tags, kTagUser | kTagId | kTagText | kTagTokenized | kTagBinary | kTagClassification);
  uint32_t back = 0;
  ASSERT_TRUE(parse_tags(tag_names(tags), &back).ok());
  EXPECT_EQ(back, tags);
  EXPECT_EQ(parse_tags({"categoric"}, &tags).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(parse_tags({"id", "continuous"}, &tags).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(tags, back);
}

TEST(Tags, EveryAtomicTagHasAName) {
  for (int i = 0; i < 18; i++) {
    auto names = tag_names(1u << i);
    ASSERT_EQ(names.size(), 1u);
    uint32_t tags;
    ASSERT_TRUE(parse_tags(names, &tags).ok());
    EXPECT_EQ(tags, 1u << i);
  }
}

TEST(Tags, AddingDropsWhatCollides) {
  EXPECT_EQ(add_tags(kTagCategorical | kTagItem, kTagContinuous), kTagItem | kTagContinuous);
  EXPECT_EQ(add_tags(kTagId | kTagUser, kTagEmbedding), kTagUser | kTagEmbedding);
  EXPECT_EQ(add_tags(kTagContinuous, kTagId), uint32_t(kTagId));
  EXPECT_EQ(add_tags(kTagId, kTagCategorical), kTagId | kTagCategorical);
}

TEST(Schema, RoundTrips) {
  const char* text =
      R"({"columns":[{"name":"genre","dtype":"int64","list":true,"tags":["categorical","item"],"cardinality":20,)"
      R"("embedding_size":16,"domain":"g","sources":["genres"]},{"name":"age","dtype":"float32","list":false,)"
      R"("tags":["continuous"]}]})";
  auto schema = schema_from_json(text);
  ASSERT_TRUE(schema.ok()) << schema.status().message();
  EXPECT_EQ(to_json(*schema).dump(), text);
  EXPECT_EQ(schema->find("age")->dtype, GYR_DTYPE_FLOAT32);
  EXPECT_EQ(schema->find("none"), nullptr);
}

TEST(Schema, RefusesWhatIsWrong) {
  auto message = [](const char* text) { return std::string(schema_from_json(text).status().message()); };
  EXPECT_EQ(message(R"({"columns":[{"name":"a","dtype":"int64","tag":["id"]}]})"),
            "columns[0].tag: unknown key; did you mean \"tags\"?");
  EXPECT_NE(message(R"({"columns":[{"name":"a","dtype":"int63"}]})").find("columns[0].dtype"), std::string::npos);
  EXPECT_NE(message(R"({"columns":[{"name":"a","dtype":"int8","tags":["x"]}]})").find("columns[0].tags"),
            std::string::npos);
  EXPECT_NE(message(R"({"columns":[{"name":"a","dtype":"int8"},{"name":"a","dtype":"int8"}]})").find("twice"),
            std::string::npos);
  EXPECT_NE(message(R"({"columns":[{"name":"a","dtype":"int8","cardinality":9,"embedding_size":17}]})")
                .find("embedding_size"),
            std::string::npos);
  EXPECT_NE(message("{}").find("columns"), std::string::npos);
  EXPECT_NE(message(R"({"columns":[3]})"), "");
}

TEST(Schema, EmbeddingSizesFollowNvtabular) {
  EXPECT_EQ(embedding_size(0), 16);
  EXPECT_EQ(embedding_size(100), 21);
  EXPECT_EQ(embedding_size(1000), 77);
  EXPECT_EQ(embedding_size(1000000000), 512);
}

}  // namespace
}  // namespace gyr
