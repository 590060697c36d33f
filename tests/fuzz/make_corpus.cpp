// Writes the seed corpora: make_corpus GOLDEN_FOLDER CORPUS_FOLDER. Sections come out of the golden files, so that they
// are what a library wrote; texts stand below. Same input, same bytes. Existing files of other names stay.
#include <gyr/gyr.h>

#include <elf.h>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/json.h"
#include "base/random.h"
#include "cache/cache.h"
#include "device/backend.h"
#include "io/container.h"
#include "table/log_format.h"
#include "table/table.h"
#include "tests/support/files.h"
#include "workflow/workflow.h"

using namespace gyr;

namespace {

std::string golden, corpus;

void put(const std::string& target, const std::string& name, std::string_view bytes) {
  std::filesystem::create_directories(corpus + "/" + target);
  std::ofstream(corpus + "/" + target + "/" + name, std::ios::binary)
      .write(bytes.data(), std::streamsize(bytes.size()));
}
void put(const std::string& target, const std::string& name, char first, std::string_view bytes) {
  put(target, name, first + std::string(bytes));
}

using test::slurp;
std::string text_of(const std::vector<uint8_t>& b) { return {b.begin(), b.end()}; }

// The text at the start of a section, behind `skip` bytes.
std::string text_at(const std::string& payload, size_t skip) {
  uint64_t n = 0;
  std::memcpy(&n, payload.data() + skip, 8);
  return payload.substr(skip + 8, n);
}

void one_section(const std::string& kind, const std::string& name, const std::string& payload) {
  if (kind == "WFL1") put("workflow", name, payload), put("spec", "workflow_" + name, '\1', text_at(payload, 4));
  if (kind == "TBL1") put("table", name, '\0', payload), put("spec", "table_" + name, '\2', text_at(payload, 0));
  if (kind == "TBL2") put("table", name, '\2', payload), put("spec", "table_" + name, '\2', text_at(payload, 0));
  if (kind == "IDS1") put("table", name, '\1', payload);
  if (kind == "IDX1" || kind == "IDX2") put("index", name, payload);
  if (kind == "MDL1") put("model", name, payload);
}

void sections() {
  for (const auto& entry : std::filesystem::directory_iterator(golden)) {
    std::string path = entry.path(), name = entry.path().stem();
    if (entry.path().extension() != ".gyr") continue;
    std::shared_ptr<const Container> file = *Container::open(path);
    std::string parts;
    for (const SectionInfo& s : file->sections()) {
      std::string payload = text_of(*file->read(s.name, s.kind));
      one_section(s.kind, file->sections().size() == 1 ? name : name + "_" + s.name, payload);
      if (s.name != "manifest") parts += "\n@section " + s.name + " " + s.kind + "\n" + payload;
    }
    if (name == "bundle") {
      std::string manifest = text_of(*file->read("manifest", "BND1"));
      put("bundle", name, manifest + parts);
      put("spec", "pipeline", '\5', parse_json(manifest, "manifest")->find("pipeline")->dump());
      put("spec", "manifest", '\0', manifest);
    }
    if (name != "bundle") put("container", name, '\1', slurp(path)), put("container", name + "_raw", '\0', slurp(path));
  }
}

void indexes() {  // of every kind and precision, beside the first set
  for (const auto& entry : std::filesystem::directory_iterator(golden + "/../1.0-indexes"))
    if (entry.path().extension() == ".gyr")
      put("index", entry.path().stem(), text_of(*(*Container::open(entry.path()))->read("index", "IDX2")));
}

void half_fitted() {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  auto runtime = *Runtime::create(o);
  auto w = *Workflow::create(runtime, R"({"version":1,"inputs":[{"name":"i","dtype":"int64"},
    {"name":"f","dtype":"float64"},{"name":"s","dtype":"string"},{"name":"l","dtype":"float32","list":true}],
    "ops":[{"op":"Categorify","columns":["i","f","s"]},{"op":"Normalize","columns":["l"]},
           {"op":"NormalizeMinMax","columns":["l"]}]})");
  Batch b;
  b.add("i", GYR_DTYPE_INT64, false), b.add("f", GYR_DTYPE_FLOAT64, false);
  b.add("s", GYR_DTYPE_STRING, false), b.add("l", GYR_DTYPE_FLOAT32, true);
  for (int i = 0; i < 4; i++) {
    b.columns[0].push_int(i / 2), b.columns[1].push_float(0.5 * i), b.columns[2].push_string(i % 2 ? "a" : "bc");
    b.columns[3].push_float(i), b.columns[3].end_list();
  }
  b.rows = 4;
  for (int pass = 0; w->passes_left(); pass++) {
    if (!w->fit_batch(b).ok()) std::abort();
    ContainerWriter file;
    if (!w->save(&file, "w").ok()) std::abort();
    put("workflow", "pass" + std::to_string(pass), text_of(*(*Container::parse(*file.serialize()))->read("w", "WFL1")));
    if (!w->fit_finish().ok()) std::abort();
  }
}

// Tables with a past and with views: int and string keys, late events, rows of some groups only.
void past_tables() {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  auto runtime = *Runtime::create(o);
  for (const char* key : {"int64", "string"}) {
    auto t = *Table::create(runtime, R"({"name":"p","key":"k","key_dtype":")" + std::string(key) +
                                         R"(","event_time":"ts","created_time":"c","history":{"versions":3,"seconds":9},
      "columns":[{"name":"a","dtype":"int16"},{"name":"s","dtype":"string"},{"name":"l","dtype":"float32","list":true}],
      "views":[{"name":"v","event_time":"vt","ttl_seconds":5,"columns":["s","l"]}]})");
    for (int64_t i = 0; i < 9; i++) {
      Batch b;
      b.rows = 1;
      Column& k = b.add("k", t->key_dtype(), false);
      t->key_dtype() == GYR_DTYPE_STRING ? k.push_string(i % 2 ? "a" : "") : k.push_int(i % 3);
      b.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int((5 - i) * 1'000'000);
      b.add("c", GYR_DTYPE_TIMESTAMP, false).push_int(i);
      b.add("a", GYR_DTYPE_INT64, false).push_int(i);
      Column& vt = b.add("vt", GYR_DTYPE_TIMESTAMP, false);
      i % 3 ? vt.push_int(i * 1'000'000) : vt.push_null_row();
      Column& s = b.add("s", GYR_DTYPE_STRING, false);
      i % 3 ? s.push_string("word") : s.push_null_row();
      if (!t->upsert(b, nullptr).ok()) std::abort();
    }
    ContainerWriter file;
    if (!t->save(&file, "t").ok()) std::abort();
    one_section("TBL2", std::string("past_") + key,
                text_of(*(*Container::parse(*file.serialize()))->read("t", "TBL2")));
  }
}

// Caches of every kind of row, hashed and dense, with and without a stream's offset.
void caches() {
  gyr_runtime_options r{};
  r.struct_size = sizeof r;
  r.threads = 1;
  auto runtime = *Runtime::create(r);
  for (int kind = 0; kind < 8; kind++) {
    const float standard[] = {1, 2, 3};
    gyr_cache_options o{};
    o.struct_size = sizeof o;
    o.dim = 3;
    o.keys = kind % 2 ? GYR_CACHE_DENSE : GYR_CACHE_HASHED;
    o.capacity = 5;
    o.rows = gyr_cache_rows(kind / 2);
    if (kind > 3) o.miss = GYR_CACHE_MISS_DEFAULT, o.default_row = standard;
    auto cache = *Cache::create(runtime, o);
    const int64_t keys[] = {1, 4, 3};
    const float rows[] = {1, 2, 3, 4, 5, 6, -1, -2, 0.5};
    gyr_cache_delta d{};
    d.source = "stream";
    d.offset = 9;
    d.keys = keys, d.rows = rows, d.n = 3;
    if (!(kind % 3 ? cache->apply(d, nullptr) : cache->put(keys, rows, 3)).ok()) std::abort();
    ContainerWriter file;
    if (!cache->save(&file, "c").ok()) std::abort();
    auto parts = *Container::parse(*file.serialize());
    std::string main = text_of(*parts->read("c", kind / 2 ? "CCH2" : "CCH1"));
    std::string tiers = parts->has("c.tiers") ? text_of(*parts->read("c.tiers", "CCT1")) : "";
    auto size = uint32_t(main.size());
    put("cache", "kind" + std::to_string(kind),
        std::string(1, kind / 2 ? 1 : 0) + std::string(reinterpret_cast<const char*>(&size), 4) + main + tiers);
  }
}

constexpr const char* kTrainers[] = {
    R"({"version":1,"kind":"popularity","item":"item","recency":{"window_events":5}})",
    R"({"version":1,"kind":"item_knn","neighbors":3,"shrink":0.5})",
    R"({"version":1,"kind":"ials","dim":3,"epochs":2,"alpha":0.2,"l2":0.1,"frequency_scaling":0.5,"stddev":0.2})",
    R"({"version":1,"kind":"two_tower","dim":3,"embedding_dim":2,"hidden":[4],"user_hidden":[],"l2_normalize":true,
      "temperature":0.5,"logq":0.5,"item_bias":true,"optimizer":"adagrad","batch":2,"epochs":2,"drop_last":false,
      "sampling":{"decay_rows":3}})",
    R"({"version":1,"kind":"dlrm","label":"y","dim":2,"bottom":[3,2],"top":[4],"batch":2,"epochs":1,"l2":0.01,
      "user_features":["user","age"],"item_features":["item"],"context_features":["hour"],"sampling":{"column":"w"}})",
    R"({"version":1,"kind":"dlrm","negatives":{"per_positive":2,"distribution":"popularity","exclude":"history"},
      "dim":2,"bottom":[2],"top":[3],"epochs":1,"batch":3,"optimizer":"adam","learning_rate":0.01})"};
constexpr const char* kSchema = R"({"columns":[
  {"name":"user","dtype":"int64","tags":["user","id","categorical"],"cardinality":6},
  {"name":"item","dtype":"int64","tags":["item","id","categorical"],"cardinality":8,"domain":"item"},
  {"name":"history","dtype":"int64","list":true,"tags":["user","categorical"],"cardinality":8,"domain":"item"},
  {"name":"age","dtype":"float32","tags":["user","continuous"]},{"name":"hour","dtype":"float32","tags":["context"]},
  {"name":"w","dtype":"float32"},{"name":"y","dtype":"float32","tags":["target"]}]})";
constexpr const char* kMonitors[] = {
    R"({"features":[{"name":"f","kind":"numeric","bins":4},{"name":"s","kind":"categorical","bins":2}],"window":3,
      "min_labels":1,"label_delay_seconds":10,"pending_capacity":5,"min_rows":1,
      "thresholds":{"auc":0.5,"hit_rate":0.1,"psi":0.2,"js":0.1}})",
    "{}"};
constexpr const char* kPipelines[] = {
    R"({"version":1,"stages":[{"stage":"features","side":"user","table":"users"},
      {"stage":"encode","workflow":"features","model":"retrieval"},
      {"stage":"retrieve","index":"item_index","k":9,"effort":20,"exact":true,"ids":"item_ids"},
      {"stage":"features","side":"item","table":"items","missing":"keep"},
      {"stage":"filter","expr":"(genre == 'noir' or age >= 50) and year > 1985"},
      {"stage":"filter","seen":"history"},
      {"stage":"order","k":3,"by":"retrieval_score + year / 1000","method":"softmax","temperature":0.5}]})",
    R"({"version":1,"context":[{"name":"h","dtype":"int64","list":true}],"stages":[
      {"stage":"features","side":"user","table":"users","columns":["age"]},
      {"stage":"order","k":3}]})"};
constexpr const char* kTables[] = {
    R"({"name":"t","key":"k","event_time":"at","ttl_seconds":5,"columns":[{"name":"b","dtype":"bool","list":true},
      {"name":"u","dtype":"uint8"},{"name":"t","dtype":"timestamp"},{"name":"f","dtype":"float32","list":true}]})",
    R"({"name":"t","key":"k","key_dtype":"string","columns":[{"name":"s","dtype":"string"}]})"};
constexpr const char* kJson[] = {R"({"a":[1,-2.5e3,"\u00e9\ud83d\ude00\n",true,null,{}],"b":18446744073709551615})",
                                 "[]",
                                 "[[[[[[[[1]]]]]]]]",
                                 "1e999",
                                 "-0",
                                 "\"\\ud800\""};
constexpr const char* kExpressions[] = {"i > 3 and f <= 0.5 or not b",
                                        "s == 'it''s'",
                                        "s in ['a', 'g1']",
                                        "i in l",
                                        "i is null or f is not null",
                                        "(i + 2) * f / 3 - -i",
                                        "abs(f) + min(i, 3) + max(f, 1, i)",
                                        "t >= 1000000",
                                        "i not in [1, -2, 256]",
                                        "sqrt(log(f + 1)) + exp(-1e3)",
                                        "b == true",
                                        "`i` != 9223372036854775807",
                                        "3",
                                        "l is not null"};
constexpr const char* kSelectors[] = {"auto",
                                      "cpu",
                                      "cuda:0",
                                      "cuda:GPU-8f6f9f4e-0b5f-5d4c-1d4e-0123456789ab",
                                      "cuda:MIG-8f6f9f4e-0b5f-5d4c-1d4e-0123456789ab",
                                      "cuda:mig",
                                      "cuda:4294967296"};

template <class List>
void texts(const std::string& target, const std::string& name, const List& list, const char* first) {
  int i = 0;
  for (const char* text : list)
    put(target, name + std::to_string(i++), first ? std::string(first, 1) + text : std::string(text));
}

void specs() {
  texts("spec", "json", kJson, "\0");
  texts("spec", "table", kTables, "\2");
  texts("spec", "monitor", kMonitors, "\4");
  texts("spec", "pipeline", kPipelines, "\5");
  int i = 0;
  for (const char* t : kTrainers)
    put("spec", "trainer" + std::to_string(i++), '\3', std::string(t) + "\n---\n" + kSchema);
  texts("expression", "e", kExpressions, nullptr);
}

// The smallest file that carries a note: header, one program header, the note.
void devices() {
  texts("device", "selector", kSelectors, "\0");
  struct {
    Elf64_Ehdr elf;
    Elf64_Phdr segment;
    Elf64_Nhdr note;
    char name[4];
    gyr_backend_note body;
  } file{};
  std::memcpy(file.elf.e_ident, ELFMAG, SELFMAG);
  file.elf.e_ident[EI_CLASS] = ELFCLASS64, file.elf.e_ident[EI_DATA] = ELFDATA2LSB;
  file.elf.e_phentsize = sizeof file.segment, file.elf.e_phnum = 1;
  file.elf.e_phoff = offsetof(decltype(file), segment);
  file.segment.p_type = PT_NOTE;
  file.segment.p_offset = offsetof(decltype(file), note);
  file.segment.p_filesz = sizeof file - offsetof(decltype(file), note);
  file.note = {4, sizeof file.body, GYR_BACKEND_NOTE_TYPE};
  std::memcpy(file.name, "gyr", 4);
  put("device", "note", '\1', {reinterpret_cast<const char*>(&file), sizeof file});
}

template <class T>
void one_struct(int call, const char* name, T value, uint32_t more = 0) {
  value.struct_size = uint32_t(sizeof value) + more;
  std::string bytes(reinterpret_cast<const char*>(&value), sizeof value);
  put("options", name, char(call), bytes + std::string(more, '\0'));
}

void options() {
  gyr_index_options index{};
  index.dim = 4;
  one_struct(0, "index", index);
  one_struct(0, "index_longer", index, 8);
  gyr_search_args args{};
  args.k = 2;
  one_struct(1, "search", args);
  one_struct(2, "runtime", gyr_runtime_options{});
  gyr_keys keys{};
  keys.dtype = GYR_DTYPE_INT64;
  one_struct(3, "keys", keys);
  gyr_table_column column{};
  column.dtype = GYR_DTYPE_INT64;
  one_struct(4, "column", column);
  one_struct(5, "index_info", gyr_index_info{});
  one_struct(6, "table_info", gyr_table_info{}, 16);
  one_struct(7, "runtime_info", gyr_runtime_info{});
  one_struct(8, "error", gyr_error{});
}

// The target builds schema and arrays out of whatever bytes come.
void arrow() {
  Random random(11);
  for (int i = 0; i < 24; i++) {
    std::string bytes;
    for (int n = 40 + 12 * i; n > 0; n--) bytes += char(random.below(i % 2 ? 256 : 15));
    put("arrow", "random" + std::to_string(i), bytes);
  }
}

}  // namespace

// A log of three changes, and what its records hold.
void logs() {
  Batch b;
  b.rows = 2;
  b.add("id", GYR_DTYPE_INT64, false).ints = {1, 2};
  b.add("ts", GYR_DTYPE_TIMESTAMP, false).ints = {5, 6};
  b.add("a", GYR_DTYPE_INT64, false).ints = {-3, 4};
  Column& f = b.add("f", GYR_DTYPE_FLOAT64, false);
  f.push_float(0.5), f.push_null_row();
  Column& s = b.add("s", GYR_DTYPE_STRING, false);
  s.push_string("x"), s.push_string(std::string(5000, 'y'));
  Column& l = b.add("l", GYR_DTYPE_STRING, true);
  l.push_string("one"), l.push_null_leaf(), l.end_list(), l.push_null_row();
  int64_t ids[] = {2, 9};
  std::vector<std::unique_ptr<LogRecord>> records;
  records.push_back(std::move(*encode_upsert(b)));  // lz4
  Column& texts = b.columns[4];
  texts.reset(GYR_DTYPE_STRING, false);
  texts.push_string(""), texts.push_null_leaf();
  records.push_back(std::move(*encode_upsert(b)));
  records.back()->header.rows = 1;  // the second row did not go in
  records.push_back(std::move(*encode_delete({GYR_DTYPE_INT64, ids, nullptr, 2})));
  uint8_t header[kSegmentHeader];
  write_segment_header(7, 1, &header);
  std::string segment(reinterpret_cast<char*>(header), sizeof header);
  for (size_t i = 0; i < records.size(); i++) {
    LogRecord& r = *records[i];
    r.header.lsn = i + 1, r.header.durable = i, r.header.time_us = 1'700'000'000'000'000;
    r.seal(7);
    std::string payload = text_of(r.payload), sizes(reinterpret_cast<char*>(&r.header.rows), 8);
    char flags = char(2 | (r.header.type == LogType::kDelete ? 4 : 0) | (r.header.codec ? 8 : 0));
    put("log", "payload_" + std::to_string(i), flags, sizes + payload);
    segment.append(reinterpret_cast<char*>(&r.header), sizeof r.header).append(payload);
    segment.resize(align_up(segment.size(), 8));
    if (i == 1) put("log", "torn", '\1', segment.substr(0, segment.size() - 9) + std::string(40, '\0'));
  }
  put("log", "segment", '\0', segment);
  RecordHeader mark = make_mark(7, records.size());
  segment.append(reinterpret_cast<char*>(&mark), sizeof mark);
  put("log", "marked", '\1', segment);
  segment[kSegmentHeader + 30] ^= 1;
  put("log", "damaged", '\1', segment);
  segment[kSegmentHeader + 30] ^= 1;
  put("log", "reserved", '\1', segment + std::string(512, '\0'));
}

// Files of the disk tier, as segment_fuzz.cpp takes them.
void segments() {
  auto number = [](uint64_t v, size_t n) { return std::string(reinterpret_cast<const char*>(&v), n); };
  auto file = [&](uint64_t row_bytes, const std::vector<int64_t>& keys, const std::vector<int64_t>& removed) {
    std::string out("\x89GYRSEG1");
    uint64_t page = (row_bytes + 16 + 4095) / 4096 * 4096;
    out += number(row_bytes, 4) + number(page, 4) + number(keys.size(), 8) + number(removed.size(), 8);
    out += std::string(24, '\0');
    for (uint64_t left = keys.size(), p = 0; left > 0; p++, left -= std::min(left, (page - 16) / row_bytes))
      out += std::string(8, '\0') + number(p, 8) + std::string(48, char('a' + p));
    for (int64_t key : keys) out += number(uint64_t(key), 8);
    for (int64_t key : removed) out += number(uint64_t(key), 8);
    return out;
  };
  const std::string small = file(4, {1, 2, -3, 2}, {5}), wide = file(5000, {1, 7}, {}), none = file(24, {}, {1, 2});
  std::vector<int64_t> many;
  for (int64_t k = 0; k < 60; k++) many.push_back(k * k);
  put("segment", "small", char(4 | 8), small);
  put("segment", "damaged_pages", char(4), small);
  put("segment", "damaged_header", '\0', small);
  put("segment", "wide", char(3 | 4 | 8), wide);
  put("segment", "removals", char(1 | 4 | 8 | 64), none);
  put("segment", "pages", char(2 | 4 | 8 | 64), file(140, many, {4, 9}));
  put("segment", "two", char(4 | 8 | 32), number(small.size(), 2) + small + file(4, {1, 9}, {2}));
  put("segment", "raw", char(16), small);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_corpus GOLDEN_FOLDER CORPUS_FOLDER\n");
    return 2;
  }
  golden = argv[1], corpus = argv[2];
  sections();
  indexes();
  half_fitted();
  past_tables();
  caches();
  specs();
  devices();
  options();
  arrow();
  logs();
  segments();
  return 0;
}
