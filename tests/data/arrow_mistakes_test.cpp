// What producers and sources of Arrow streams do wrong.
#include <gtest/gtest.h>

#include <cerrno>
#include <stdexcept>

#include "data/arrow.h"
#include "tests/data/arrow_builder.h"

namespace gyr {
namespace {

using testing::array;
using testing::bytes;
using testing::schema;
using testing::stream;

class ArrowMistakes : public ::testing::Test {
 protected:
  void SetUp() override { testing::live = 0; }
  void TearDown() override { EXPECT_EQ(testing::live, 0) << "not released, or released twice"; }

  // The schema of a stream with one column, spoilt.
  void refused(ArrowSchema column, const std::function<void(ArrowSchema*)>& spoil, gyr_status code, const char* part) {
    ArrowSchema s = schema("+s", "", {column});
    ArrowSchema kept = *s.children[0];
    ArrowSchema kept_child = kept.n_children ? *kept.children[0] : ArrowSchema{};
    ArrowSchema kept_dictionary = kept.dictionary ? *kept.dictionary : ArrowSchema{};
    spoil(s.children[0]);
    Status status = std::move(import_fields(s).status());
    EXPECT_EQ(status.code(), code) << part;
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status.message();
    if (kept.n_children) *kept.children[0] = kept_child;
    if (kept.dictionary) *kept.dictionary = kept_dictionary;
    *s.children[0] = kept;
    s.release(&s);
  }
  void refused(ArrowSchema column, gyr_status code, const char* part) {
    refused(
        column, [](ArrowSchema*) {}, code, part);
  }
};

TEST_F(ArrowMistakes, Schemas) {
  auto list = [](const char* format) { return schema(format, "x", {schema("i", "item")}); };
  auto dictionary = [](const char* index, const char* values) { return schema(index, "x", {}, {schema(values, "")}); };
  refused(
      schema("i", "x"), [](ArrowSchema* s) { s->release = nullptr; }, GYR_E_CORRUPT, "NULL or released");
  refused(
      schema("i", "x"), [](ArrowSchema* s) { s->format = nullptr; }, GYR_E_CORRUPT, "no format");
  refused(
      schema("i", "x"), [](ArrowSchema* s) { s->n_children = -1; }, GYR_E_CORRUPT, "claims -1 children");
  refused(
      schema("i", "x"), [](ArrowSchema* s) { s->n_children = 1, s->children = nullptr; }, GYR_E_CORRUPT,
      "claims 1 children");
  refused(list("i"), GYR_E_CORRUPT, "has children");
  refused(schema("i", "\xff"), GYR_E_CORRUPT, "not UTF-8");
  refused(schema("tsu", "x"), GYR_E_UNSUPPORTED, "tsu");
  refused(schema("tsuX", "x"), GYR_E_UNSUPPORTED, "tsuX");
  for (const char* size : {"+w:", "+w:x", "+w:3x", "+w:-1", "+w:99999999999"})
    refused(list(size), GYR_E_CORRUPT, "bad list size");
  refused(schema("+l", "x"), GYR_E_CORRUPT, "one child");
  refused(schema("+L", "x", {schema("i", "a"), schema("i", "b")}), GYR_E_CORRUPT, "one child");
  refused(schema("+l", "x", {schema("i", "item")}, {schema("u", "")}), GYR_E_CORRUPT, "no dictionary");
  refused(
      list("+l"), [](ArrowSchema* s) { s->children[0]->release = nullptr; }, GYR_E_CORRUPT, "NULL or released");
  refused(schema("+l", "x", {schema("+l", "item", {schema("i", "item")})}), GYR_E_UNSUPPORTED, "only nesting");
  refused(dictionary("f", "u"), GYR_E_CORRUPT, "dictionary indices of type \"f\"");
  refused(dictionary("b", "u"), GYR_E_CORRUPT, "dictionary indices of type \"b\"");
  refused(dictionary("z", "u"), GYR_E_UNSUPPORTED, "\"z\"");
  refused(dictionary("i", "z"), GYR_E_UNSUPPORTED, "\"z\"");
  refused(
      dictionary("i", "u"), [](ArrowSchema* s) { s->dictionary->release = nullptr; }, GYR_E_CORRUPT, "released");
  refused(schema("i", "x", {}, {dictionary("i", "u")}), GYR_E_UNSUPPORTED, "dictionary of dictionary");

  ArrowSchema released{};
  EXPECT_EQ(import_fields(released).status().code(), GYR_E_CORRUPT);
  ArrowSchema unnamed = schema("+s", "", {schema("i", "x")});
  unnamed.children[0]->name = nullptr;
  auto fields = import_fields(unnamed);
  ASSERT_TRUE(fields.ok());
  EXPECT_EQ((*fields)[0].name, "");
  unnamed.release(&unnamed);
}

TEST_F(ArrowMistakes, Arrays) {
  auto refused_array = [](ArrowSchema column, ArrowArray values, const std::function<void(ArrowArray*)>& spoil,
                          const char* part) {
    ArrowSchema s = schema("+s", "", {column});
    ArrowArray batch = array(values.length, {{}}, {values});
    ArrowArray kept = *batch.children[0];
    spoil(batch.children[0]);
    Batch out;
    Status status = import_batch(s, batch, &out);
    EXPECT_EQ(status.code(), GYR_E_CORRUPT) << part;
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status.message();
    *batch.children[0] = kept;
    s.release(&s);
    batch.release(&batch);
  };
  auto leave = [](ArrowArray*) {};
  auto ints = [](int64_t n) { return array(n, {{}, bytes(std::vector<int32_t>(size_t(n) + 1))}); };
  auto list = [] { return schema("+l", "x", {schema("i", "item")}); };
  auto lists = [&](ArrowArray child) { return array(1, {{}, bytes(std::vector<int32_t>{0, 1})}, {child}); };
  refused_array(
      list(), lists(ints(1)), [](ArrowArray* a) { a->children = nullptr; }, "children is NULL");
  refused_array(list(), lists(array(1, {{}})), leave, "wrong number of buffers");
  refused_array(list(), lists(array(1, {{}, {}})), leave, "data buffer is NULL");
  refused_array(list(), array(1, {{}, {}}, {ints(1)}), leave, "list offsets are NULL");
  // What a null list hides is checked, too.
  refused_array(schema("+l", "x", {schema("u", "item")}),
                array(2, {testing::bits({1, 0}), bytes(std::vector<int32_t>{0, 1, 2})},
                      {array(2, {{}, bytes(std::vector<int32_t>{0, 1, 2}), testing::text("\xff\xff")})}),
                leave, "not UTF-8");
  auto dictionary = [](const char* index) { return schema(index, "x", {}, {schema("u", "")}); };
  auto words = [](testing::Bytes text) { return array(1, {{}, bytes(std::vector<int32_t>{0, 1}), text}); };
  refused_array(dictionary("i"), array(1, {{}, bytes(std::vector<int32_t>{0})}, {}, {words(testing::text("\xff"))}),
                leave, "not UTF-8");
  refused_array(dictionary("i"), array(1, {{}, bytes(std::vector<int32_t>{0})}, {}, {array(1, {{}})}), leave,
                "wrong number of buffers");
  for (auto [index, size] : {std::pair{"c", 1}, {"C", 1}, {"s", 2}, {"S", 2}, {"i", 4}, {"I", 4}, {"l", 8}, {"L", 8}})
    refused_array(dictionary(index), array(1, {{}, testing::Bytes(size_t(size), 9)}, {}, {words(testing::text("a"))}),
                  leave, "dictionary index is out of range");
  refused_array(schema("u", "x"), array(1, {{}, bytes(std::vector<int32_t>{0, 1})}), leave, "number of buffers");
  refused_array(schema("U", "x"), array(1, {{}, bytes(std::vector<int64_t>{0, INT64_MAX}), testing::text("a")}), leave,
                "do not rise");
  auto views = [](std::vector<testing::Bytes> more) {
    std::vector<testing::Bytes> buffers{{}, testing::Bytes(16)};
    buffers.insert(buffers.end(), more.begin(), more.end());
    return array(1, buffers);
  };
  refused_array(schema("vu", "x"), views({testing::text("data"), {}}), leave, "sizes of the view buffers are missing");
  refused_array(schema("vu", "x"), views({{}, bytes(std::vector<int64_t>{4})}), leave, "view buffer 0 is NULL");
  ArrowSchema s = schema("+s", "", {schema("i", "x")});
  ArrowArray none = array(1, {{}, {}}, {ints(1)});
  Batch out;
  EXPECT_EQ(import_batch(s, none, &out).code(), GYR_E_CORRUPT);  // a struct has one buffer
  none.release(&none);
  s.release(&s);
}

TEST_F(ArrowMistakes, Producers) {
  auto opened = [](const std::function<void(ArrowArrayStream*)>& spoil) {
    ArrowArrayStream s = stream(schema("+s", "", {schema("i", "x")}), {});
    ArrowArrayStream kept = s;
    spoil(&s);
    Status status = std::move(ArrowReader::open(&s).status());
    EXPECT_EQ(s.release, kept.release) << "a failed call took the stream";
    kept.release(&kept);
    return status;
  };
  EXPECT_EQ(opened([](ArrowArrayStream* s) { s->get_schema = nullptr; }).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(opened([](ArrowArrayStream* s) { s->get_next = nullptr; }).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(opened([](ArrowArrayStream* s) {
              s->get_schema = [](ArrowArrayStream*, ArrowSchema* out) { return *out = {}, 0; };
            }).code(),
            GYR_E_CALLBACK);
  auto fails = [](ArrowArrayStream*, ArrowSchema*) { return 7; };
  for (auto last_error : {+[](ArrowArrayStream*) -> const char* { return nullptr; },
                          static_cast<const char* (*)(ArrowArrayStream*)>(nullptr)}) {
    Status status = opened([&](ArrowArrayStream* s) { s->get_schema = fails, s->get_last_error = last_error; });
    EXPECT_EQ(status.code(), GYR_E_CALLBACK);
    EXPECT_NE(std::string(status.message()).find("no message"), std::string::npos) << status.message();
  }
}

TEST_F(ArrowMistakes, ReadingOnAfterAccepting) {
  ArrowArrayStream s = stream(schema("+s", "", {schema("i", "x")}), {});
  auto reader = ArrowReader::open(&s);
  ASSERT_TRUE(reader.ok());
  (*reader)->accept();
  (*reader)->accept();
  Batch batch;
  bool end = false;
  EXPECT_EQ((*reader)->next(&batch, &end).code(), GYR_E_INVALID_STATE);

  s = stream(schema("+s", "", {schema("i", "x")}), {});
  reader = ArrowReader::open(&s);
  s.release(&s);  // by the caller, who no longer should
  (*reader)->accept();
}

// errno as the Arrow C stream interface wants it, and the message beside it.
TEST_F(ArrowMistakes, SourcesThatFail) {
  struct Case {
    std::function<Status(Batch*)> source;
    int code;
    const char* message;
  };
  auto status = [](gyr_status code) {
    return [code](Batch*) -> Status { return fail(code, "test", "of kind %d", int(code)); };
  };
  auto columns = [](gyr_dtype dtype, bool list) {
    return [dtype, list](Batch* out) -> Status {
      out->columns.clear();
      out->add("x", dtype, list);
      return {};
    };
  };
  const Case cases[] = {
      {status(GYR_E_OUT_OF_MEMORY), ENOMEM, "of kind"},
      {status(GYR_E_RESOURCE_EXHAUSTED), ENOMEM, "of kind"},
      {status(GYR_E_CANCELLED), ECANCELED, "of kind"},
      {status(GYR_E_DEADLINE), ETIMEDOUT, "of kind"},
      {status(GYR_E_IO), EIO, "of kind"},
      {status(GYR_E_CORRUPT), EINVAL, "of kind"},
      {[](Batch*) -> Status { throw std::bad_alloc(); }, ENOMEM, "out of memory"},
      {[](Batch*) -> Status { throw std::runtime_error("pipes froze"); }, EIO, "pipes froze"},
      {columns(GYR_DTYPE_STRING, false), EINVAL, "batch has string, schema int64"},
      {columns(GYR_DTYPE_INT64, true), EINVAL, "column \"x\""},
      {[](Batch* out) -> Status { return out->columns.clear(), Status(); }, EINVAL, ""},
  };
  for (const Case& c : cases) {
    ArrowArrayStream s{};
    int pulls = 0;
    auto next = [&](Batch* out, bool*) -> Status { return pulls++, c.source(out); };
    ASSERT_TRUE(export_stream({{"x", GYR_DTYPE_INT64, false}}, next, &s).ok());
    ArrowArray a{};
    EXPECT_EQ(s.get_next(&s, &a), c.code) << c.message;
    EXPECT_NE(std::string(s.get_last_error(&s)).find(c.message), std::string::npos) << s.get_last_error(&s);
    EXPECT_EQ(s.get_next(&s, &a), c.code) << "a failed stream goes on";
    EXPECT_EQ(pulls, 1);
    EXPECT_EQ(a.release, nullptr);
    s.release(&s);
    EXPECT_EQ(s.release, nullptr);
  }
}

TEST_F(ArrowMistakes, TheEndStaysTheEnd) {
  ArrowArrayStream s{};
  auto next = [](Batch*, bool* end) -> Status { return *end = true, Status(); };
  ASSERT_TRUE(export_stream({{"x", GYR_DTYPE_INT64, false}}, next, &s).ok());
  for (int i = 0; i < 2; i++) {
    ArrowArray a{};
    a.length = 7;
    EXPECT_EQ(s.get_next(&s, &a), 0);
    EXPECT_EQ(a.release, nullptr);
    EXPECT_EQ(a.length, 0);
  }
  s.release(&s);
}

}  // namespace
}  // namespace gyr
