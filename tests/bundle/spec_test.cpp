// Serving graphs that are wrong: each mistake is named with its path. And string catalogues.
#include <cstring>

#include "pipeline/pipeline.h"
#include "tests/bundle/world.h"

namespace gyr::test {
namespace {

std::string error_of(const std::string& json, const Components& components = world().components) {
  auto p = Pipeline::create(json, components);
  return p.ok() ? "" : p.status().message();
}

std::string with(const char* from, const char* to) {
  std::string s = kPipeline;
  size_t at = s.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return s.replace(at, std::strlen(from), to);
}

TEST(PipelineSpec, EveryMistakeIsNamed) {
  EXPECT_EQ(error_of(kPipeline), "");
  struct Case {
    const char *from, *to, *message;
  };
  const Case cases[] = {
      {"\"version\":1", "\"version\":2", "version: 2 is newer than this library's 1"},
      {"\"stages\":[", "\"stagse\":[", "stagse: unknown key; did you mean \"stages\"?"},
      {"\"k\":60", "\"k\":0", "stages[2].k: expected an integer in 1..65536, got 0"},
      {"\"k\":60", "\"k\":\"60\"", "stages[2].k: expected an integer in 1..65536, got \"60\""},
      {"\"stage\":\"retrieve\"", "\"stage\":\"retreive\"", "stages[2].stage: unknown stage \"retreive\""},
      {"\"index\":\"items_index\"", "\"index\":\"nope\"",
       "stages[2].index: no index named \"nope\" (the bundle has: items_index)"},
      {"\"table\":\"users\"", "\"table\":\"user\"", "stages[0].table: no table named \"user\""},
      {"[\"genre\",\"year\"]", "[\"genre\",\"yaer\"]", "stages[4].columns: the table has no column \"yaer\""},
      {"year >= oldest", "yaer >= oldest", "stages[5].expr"},
      {"oldest is null or year >= oldest", "year + 1", "stages[5].expr: must be a condition"},
      {"\"seen\":\"seen\"", "\"seen\":\"age\"", "\"age\" must be a list of int64 item ids"},
      {"\"by\":\"score\"", "\"by\":\"score > 1\"", "stages[8].by: must be a number"},
      {"\"method\":\"greedy\"", "\"method\":\"random\"", "stages[8].method: expected one of"},
      {"\"method\":\"greedy\"", "\"method\":\"greedy\",\"temperature\":2", "stages[8].temperature"},
      {"{\"stage\":\"encode\",\"side\":\"item\",\"workflow\":\"features\"},", "",
       "add an encode stage with the model's workflow"},
      {"{\"stage\":\"encode\",\"workflow\":\"features\",\"model\":\"retrieval\"},", "",
       "add an encode stage with a model"},
      {",\n  {\"stage\":\"order\",\"k\":10,\"by\":\"score\",\"method\":\"greedy\"}", "",
       "the last stage must be \"order\""},
      {"\"dtype\":\"float32\"}],\"stages\"", "\"dtype\":\"half\"}],\"stages\"", "context[0].dtype"},
  };
  for (const Case& c : cases) {
    std::string got = error_of(with(c.from, c.to));
    EXPECT_NE(got.find(c.message), std::string::npos) << c.to << "\n  got: " << got;
  }
  EXPECT_NE(error_of("{}"), "");
  EXPECT_NE(error_of("{\"version\":1,\"stages\":[]}"), "");
  EXPECT_NE(error_of("{\"version\":1,\"stages\":[7]}"), "");
  EXPECT_NE(error_of("{\"version\":1,\"stages\":{\"a\":1}}"), "");
}

// The same catalogue with string ids: labels are positions in an id list.
TEST(StringCatalogue, OriginalIdsInAndOut) {
  World& w = world();
  Components c = w.components;
  std::vector<std::string> names;
  std::vector<std::string_view> views;
  for (int i = 0; i < kItems; i++) names.push_back("film/" + std::to_string(i));
  views.assign(names.begin(), names.end());
  c.ids["item_ids"] = take(IdList::create(views));
  auto items = take(Table::create(w.runtime, R"({"name":"items","key":"item","key_dtype":"string",
    "columns":[{"name":"item_id","dtype":"int64"},{"name":"genre","dtype":"string"},{"name":"year","dtype":"float32"}]})"));
  Batch b;
  b.add("item", GYR_DTYPE_STRING, false);
  b.add("item_id", GYR_DTYPE_INT64, false);
  b.add("genre", GYR_DTYPE_STRING, false);
  b.add("year", GYR_DTYPE_FLOAT32, false);
  for (int i = 0; i < kItems; i++) {
    b.columns[0].push_string(names[size_t(i)]);
    b.columns[1].push_int(item_id(i));
    b.columns[2].push_string("g" + std::to_string(i % kGroups));
    b.columns[3].push_float(1990);
    b.rows++;
  }
  Table::UpsertStats stats;
  ok(items->upsert(b, &stats));
  c.tables["items"] = items;
  // String user ids, string seen lists.
  auto users = take(Table::create(w.runtime, R"({"name":"users","key":"user","key_dtype":"string","columns":[
    {"name":"age","dtype":"float32"},{"name":"history","dtype":"int64","list":true},
    {"name":"seen","dtype":"string","list":true}]})"));
  Batch u;
  u.add("user", GYR_DTYPE_STRING, false).push_string("ann");
  u.add("age", GYR_DTYPE_FLOAT32, false).push_float(20);
  Column& history = u.add("history", GYR_DTYPE_INT64, true);
  for (int64_t i : w.seen[0]) history.push_int(i);
  history.end_list();
  Column& seen = u.add("seen", GYR_DTYPE_STRING, true);
  for (int64_t i : w.seen[0]) seen.push_string(names[size_t(i - item_id(0))]);
  seen.push_string("film/unknown");
  seen.end_list();
  u.rows = 1;
  ok(users->upsert(u, &stats));
  c.tables["users"] = users;
  // The index's labels must be positions: rebuild it from the model's vectors.
  gyr_index_info info{};
  info.struct_size = sizeof info;
  w.components.indexes["items_index"]->fill_info(&info);
  gyr_index_options options{};
  options.struct_size = sizeof options;
  options.dim = info.dim;
  auto index = take(Index::create(w.runtime, options));
  Random random(9);
  std::vector<float> vectors(size_t(kItems) * info.dim);
  for (float& v : vectors) v = float(random.normal());
  std::vector<int64_t> labels;
  for (int i = 0; i < kItems; i++) labels.push_back(i);
  ok(index->upsert(labels.data(), vectors.data(), kItems, nullptr));
  c.indexes["items_index"] = index;

  std::string graph = with("\"k\":60", "\"k\":60,\"ids\":\"item_ids\"");
  std::string columns = "[\"genre\",\"year\"]";
  graph.replace(graph.find(columns), columns.size(), "[\"item_id\",\"genre\",\"year\"]");
  auto pipeline = take(Pipeline::create(graph, c));
  gyr_str who = {"ann", 3};
  gyr_keys keys = {sizeof keys, GYR_DTYPE_STRING, 1, nullptr, &who};
  gyr_str ids[10];
  float scores[10];
  uint32_t count = 0;
  gyr_recommend_args args{};
  args.struct_size = sizeof args;
  args.k = 10;
  args.users = &keys;
  args.out_string_ids = ids;
  args.out_scores = scores;
  args.out_counts = &count;
  args.workspace = reinterpret_cast<gyr_workspace*>(&count);  // only checked for presence below capi
  Workspace workspace;
  ok(pipeline->run(&args, &workspace, nullptr));
  ASSERT_EQ(count, 10u);
  for (uint32_t i = 0; i < count; i++) {
    std::string id(ids[i].data, ids[i].len);
    EXPECT_EQ(id.rfind("film/", 0), 0u) << id;
    for (int64_t s : w.seen[0]) EXPECT_NE(id, names[size_t(s - item_id(0))]);
  }
  EXPECT_NE(error_of(kPipeline, c).find("\"seen\" must be a list of int64 item ids, it is a list of string"),
            std::string::npos)
      << error_of(kPipeline, c);

  // A label beyond the list is found when the graph is bound, not by the first request that meets it.
  EXPECT_EQ(error_of(graph, c), "");
  for (int64_t label : {int64_t(kItems), int64_t(-1)}) {
    ok(index->upsert(&label, vectors.data(), 1, nullptr));
    std::string expected = "stages[2].ids: index \"items_index\" has the label " + std::to_string(label) +
                           ", id list \"item_ids\" has 200 ids";
    EXPECT_NE(error_of(graph, c).find(expected), std::string::npos) << error_of(graph, c);
    uint64_t removed = 0;
    ok(index->remove(&label, 1, &removed));
    EXPECT_EQ(error_of(graph, c), "");
  }
}

}  // namespace
}  // namespace gyr::test
