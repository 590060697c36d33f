// What a set of golden files answers: every file opened through the public interface and asked, as text, one answer a
// line. The generator stores it beside the files; the test asks again with the library at hand and compares.
#pragma once

#include <filesystem>
#include <sstream>

#include "tests/golden/folders.h"
#include "tests/golden/helpers.h"

namespace gyr::golden {

// Coordinates without ties, the same in generator and questions.
inline float vector_value(int i, int d) { return float((i * 37 + d * 101 + i * d * 13) % 64 - 31) / 16 + 0.01f; }

// Rows for the workflow of all ops: a null-free batch with repeated and new values.
inline Rows full_rows() {
  Rows r;
  r.ints("user", {1, 2, 3, 1, 9, 1, 2, 4}).floats("age", {20, 30, 25, 41, 33, 27, 20, 60});
  std::vector<double> price{1.5, -1, 3, 8, 12, 100, 0, 5};
  r.floats("price", std::vector<float>(price.begin(), price.end()));
  r.strings("genre", {"noir", "noir", "space", "space", "noir", "war", "", "noir"});
  r.lists("history", {{10}, {}, {11, 12, 13}, {10, 10}, {14, 15}, {12}, {10, 11}, {}});
  r.ints("item", {11, 10, 12, 13, 10, 14, 99, 10});
  r.ints("at", {1, 2, 3, 4, 5, 6, 7, 8000000}, "tsu:UTC");
  r.string_lists("words", {{"noir"}, {"space", "noir"}, {}, {"x"}, {"x", "y"}, {}, {"noir"}, {}});
  return r;
}

// Indexes of section IDX2: kind exact, graph, IVF in turn, stored as the name says.
constexpr int kIndexes = 15;
constexpr const char* kIndexNames[kIndexes] = {"exact_fp32.gyr", "graph_fp16.gyr",  "ivf_bf16.gyr",   "exact_int16.gyr",
                                               "graph_int8.gyr", "ivf_fp32.gyr",    "exact_fp16.gyr", "graph_bf16.gyr",
                                               "ivf_int16.gyr",  "exact_int8.gyr",  "graph_fp32.gyr", "ivf_fp16.gyr",
                                               "exact_bf16.gyr", "graph_int16.gyr", "ivf_int8.gyr"};

class Answers {
 public:
  explicit Answers(std::string folder) : folder_(std::move(folder)) {
    gyr_runtime_options options{};
    options.struct_size = sizeof options;
    options.threads = 1;
    need(gyr_runtime_create(&options, &runtime_, &err_), err_, "runtime");
    out_.precision(7);
  }
  ~Answers() { gyr_runtime_destroy(runtime_); }
  Answers(const Answers&) = delete;

  std::string all() {
    if (has("bundle.gyr")) first_answers();
    if (has("past.gyr")) past();
    for (const char* name : {"cache_float32.gyr", "cache_int8.gyr"})
      if (has(name)) cache(name);
    if (has("live")) out_ << live_answers(runtime_, path("live"));
    if (has("cache_rows")) out_ << cache_folder_answers(runtime_, path("cache_rows"));
    for (const char* name : kIndexNames)
      if (has(name)) index(name);
    return out_.str();
  }

 private:
  std::string path(const char* name) const { return folder_ + "/" + name; }
  void first_answers() {  // of what 1.0 has
    workflow();
    table();
    index("index_exact.gyr");
    index("index_graph.gyr");
    for (const char* name : {"model_popularity.gyr", "model_item_knn.gyr", "model_ials.gyr"}) counting(name);
    network("model_two_tower.gyr");
    network("model_dlrm.gyr");
    bundle();
  }
  bool has(const char* name) const { return std::filesystem::exists(path(name)); }
  template <class T>
  void line(const char* what, const T* v, size_t n) {
    out_ << what;
    for (size_t i = 0; i < n; i++) out_ << ' ' << v[i];
    out_ << '\n';
  }

  // A leaf array of the types that transforms and exports give, value by value.
  void leaf(const ArrowSchema& s, const ArrowArray& a) {
    for (int64_t i = 0; i < a.length; i++) {
      out_ << ' ';
      auto* bits = static_cast<const uint8_t*>(a.buffers[0]);
      int64_t at = a.offset + i;
      if (bits && !(bits[at / 8] >> (at % 8) & 1)) {
        out_ << "null";
        continue;
      }
      const void* v = a.buffers[1];
      switch (s.format[0]) {
        case 'b':
          out_ << (static_cast<const uint8_t*>(v)[at / 8] >> (at % 8) & 1);
          break;
        case 'c':
          out_ << int(static_cast<const int8_t*>(v)[at]);
          break;
        case 'i':
          out_ << static_cast<const int32_t*>(v)[at];
          break;
        case 'f':
          out_ << static_cast<const float*>(v)[at];
          break;
        case 'g':
          out_ << static_cast<const double*>(v)[at];
          break;
        case 'u': {
          auto* o = static_cast<const int32_t*>(v) + at;
          out_ << '"' << std::string(static_cast<const char*>(a.buffers[2]) + o[0], size_t(o[1] - o[0])) << '"';
          break;
        }
        case 'U': {
          auto* o = static_cast<const int64_t*>(v) + at;
          out_ << '"' << std::string(static_cast<const char*>(a.buffers[2]) + o[0], size_t(o[1] - o[0])) << '"';
          break;
        }
        default:
          out_ << static_cast<const int64_t*>(v)[at];  // l, tsu:
      }
    }
  }

  void stream(const char* what, ArrowArrayStream* s) {
    ArrowSchema schema{};
    ArrowArray batch{};
    if (s->get_schema(s, &schema) || s->get_next(s, &batch)) {
      std::fprintf(stderr, "%s: %s\n", what, s->get_last_error(s));
      std::exit(1);
    }
    for (int64_t c = 0; c < schema.n_children; c++) {
      const ArrowSchema& cs = *schema.children[c];
      const ArrowArray& ca = *batch.children[c];
      out_ << what << ' ' << cs.name << ' ' << cs.format;
      if (cs.format[0] == '+') {
        bool wide = cs.format[1] == 'L';
        out_ << " ends";
        for (int64_t i = 0; i <= ca.length; i++)
          out_ << ' '
               << (wide ? static_cast<const int64_t*>(ca.buffers[1])[i]
                        : static_cast<const int32_t*>(ca.buffers[1])[i]);
        out_ << " values";
        leaf(*cs.children[0], *ca.children[0]);
      } else {
        leaf(cs, ca);
      }
      out_ << '\n';
    }
    batch.release(&batch);
    schema.release(&schema);
    s->release(s);
  }

  void workflow() {
    gyr_workflow* w = nullptr;
    need(gyr_workflow_open(runtime_, path("workflow.gyr").c_str(), &w, &err_), err_, "workflow.gyr");
    ArrowArrayStream in = full_rows().stream(), out{};
    need(gyr_workflow_transform(w, &in, &out, &err_), err_, "transform");
    stream("workflow", &out);
    gyr_value code{};
    for (int64_t i = 3; i < 6; i++) {
      need(gyr_workflow_decode(w, "item", i, &code, &err_), err_, "decode");
      line("decoded item", &code.i, 1);
    }
    gyr_workflow_destroy(w);
  }

  void table() {
    gyr_table* t = nullptr;
    need(gyr_table_open(runtime_, path("table.gyr").c_str(), &t, &err_), err_, "table.gyr");
    ArrowArrayStream out{};
    need(gyr_table_export(t, &out, &err_), err_, "export");
    stream("table", &out);
    gyr_str ids[] = {{"bo", 2}, {"ann", 3}, {"nobody", 6}, {"dee", 3}};
    gyr_keys keys{sizeof keys, GYR_DTYPE_STRING, 4, nullptr, ids};
    double ratio[4];
    int64_t big[4];
    uint8_t status[2][4];
    gyr_table_column c[2]{};
    c[0].struct_size = c[1].struct_size = sizeof c[0];
    c[0].name = "ratio", c[0].dtype = GYR_DTYPE_FLOAT64, c[0].values = ratio;
    c[1].name = "big", c[1].dtype = GYR_DTYPE_INT64, c[1].values = big;
    for (int i = 0; i < 2; i++) c[i].values_capacity = 4, c[i].status = status[i];
    // At 3602 s ann (1 s) has expired, bo (2 s) has not.
    need(gyr_table_get(t, &keys, 3602000000, c, 2, &err_), err_, "get");
    for (int k = 0; k < 4; k++)
      out_ << "row " << k << ' ' << int(status[0][k]) << ' ' << int(status[1][k]) << ' '
           << (status[0][k] == GYR_VALUE_PRESENT ? ratio[k] : -1) << ' '
           << (status[1][k] == GYR_VALUE_PRESENT ? big[k] : -1) << '\n';
    gyr_table_destroy(t);
  }

  // A table with history and a view: the rows, and what they were.
  void past() {
    gyr_table* t = nullptr;
    need(gyr_table_open(runtime_, path("past.gyr").c_str(), &t, &err_), err_, "past.gyr");
    ArrowArrayStream out{};
    need(gyr_table_export(t, &out, &err_), err_, "export");
    stream("past", &out);
    gyr_table_info info{};
    info.struct_size = sizeof info;
    need(gyr_table_get_info(t, &info, &err_), err_, "info");
    out_ << "past rows " << info.rows << " versions " << info.versions << '\n';
    for (uint32_t flags : {0u, uint32_t(GYR_AS_OF_UNKNOWN_TOO)}) {
      std::vector<int64_t> ids, times;
      for (int64_t id = 1; id < 4; id++)
        for (int64_t time = 0; time < 60; time += 5) ids.push_back(id), times.push_back(time);
      const size_t n = ids.size();
      gyr_keys keys{sizeof keys, GYR_DTYPE_INT64, n, ids.data(), nullptr};
      std::vector<int64_t> a(n);
      std::vector<double> v(n);
      std::vector<uint8_t> known(n), seen(n);
      gyr_table_column c[2]{};
      c[0].struct_size = c[1].struct_size = sizeof c[0];
      c[0].name = "a", c[0].dtype = GYR_DTYPE_INT64, c[0].values = a.data(), c[0].status = known.data();
      c[1].name = "v", c[1].dtype = GYR_DTYPE_FLOAT64, c[1].values = v.data(), c[1].status = seen.data();
      c[0].values_capacity = c[1].values_capacity = n;
      need(gyr_table_get_as_of(t, &keys, times.data(), flags, c, 2, &err_), err_, "as of");
      for (size_t i = 0; i < n; i++)
        out_ << "as of " << ids[i] << ' ' << times[i] << ' ' << int(known[i]) << ' ' << a[i] << ' ' << int(seen[i])
             << ' ' << v[i] << '\n';
    }
    gyr_table_destroy(t);
  }

  void cache(const char* name) {
    gyr_cache* c = nullptr;
    need(gyr_cache_open(runtime_, path(name).c_str(), nullptr, &c, &err_), err_, name);
    out_ << name << cached_rows(c, {-5, 1, 2, 3, 4, 5}, 3);
    uint64_t offset = 0;
    need(gyr_cache_get_offset(c, "stream", &offset, &err_), err_, name);
    out_ << " offset " << offset << '\n';
    gyr_cache_destroy(c);
  }

  void index(const char* name) {
    gyr_index* index = nullptr;
    need(gyr_index_open(runtime_, path(name).c_str(), &index, &err_), err_, name);
    gyr_index_info info{};
    info.struct_size = sizeof info;
    need(gyr_index_get_info(index, &info, &err_), err_, name);
    out_ << name << ' ' << info.dim << ' ' << info.metric << ' ' << info.kind << ' ' << info.count << ' ' << info.slots
         << '\n';
    std::vector<float> queries{1, 0.5f, -0.25f, -1, 2, 3};
    int64_t ids[8];
    float scores[8];
    uint32_t counts[2];
    gyr_search_args args{};
    args.struct_size = sizeof args;
    args.k = 4;
    args.queries = queries.data();
    args.n = 2;
    args.out_ids = ids;
    args.out_scores = scores;
    args.out_counts = counts;
    for (args.exact = 0; args.exact < 2; args.exact++) {
      need(gyr_index_search(index, &args, nullptr, &err_), err_, name);
      line(name, counts, 2);
      line(name, ids, 8);
      line(name, scores, 8);
    }
    gyr_index_destroy(index);
  }

  gyr_model* model(const char* name) {
    gyr_model* m = nullptr;
    need(gyr_model_open(runtime_, path(name).c_str(), &m, &err_), err_, name);
    return m;
  }

  void counting(const char* name) {
    gyr_model* m = model(name);
    int64_t items[] = {3, 5, 4}, offsets[] = {0, 2, 3}, exclude[] = {6}, exclude_offsets[] = {0, 1, 1}, ids[6];
    float scores[6];
    need(gyr_model_recommend(m, items, offsets, 2, 3, exclude, exclude_offsets, ids, scores, &err_), err_, name);
    line(name, ids, 6);
    line(name, scores, 6);
    gyr_model_destroy(m);
  }

  static Rows encoded() {
    Rows r;
    r.lists("history", {{3, 4}, {}, {5}}).floats("age", {0.1f, 0.5f, 1}).ints("item_id", {3, 8, 12});
    r.ints("genre", {3, 4, 2}).floats("year", {0, 0.25f, 1});
    return r;
  }

  void network(const char* name) {
    gyr_model* m = model(name);
    float out[3 * 8];
    uint64_t rows = 0;
    ArrowArrayStream s = encoded().stream();
    need(gyr_model_predict(m, &s, out, 3, &rows, &err_), err_, name);
    line(name, out, rows);
    if (std::string(name) == "model_two_tower.gyr") {
      for (gyr_side side : {GYR_SIDE_USER, GYR_SIDE_ITEM}) {
        s = encoded().stream();
        need(gyr_model_encode(m, side, &s, out, 3, &rows, &err_), err_, name);
        line(name, out, rows * 4);
      }
    }
    gyr_model_destroy(m);
  }

  void bundle() {
    gyr_bundle* b = nullptr;
    need(gyr_bundle_open(runtime_, path("bundle.gyr").c_str(), &b, &err_), err_, "bundle.gyr");
    gyr_workspace* workspace = nullptr;
    need(gyr_workspace_create(b, &workspace, &err_), err_, "workspace");
    int64_t users[] = {0, 3, 5, 77}, labels[16];
    gyr_keys keys{sizeof keys, GYR_DTYPE_INT64, 4, users, nullptr};
    gyr_str ids[16];
    float scores[16], stage_scores[32];
    uint32_t counts[4];
    uint8_t status[4];
    const char* names[] = {"oldest"};
    gyr_value oldest[4]{};
    oldest[1].dtype = GYR_DTYPE_FLOAT32, oldest[1].f = 1990;
    gyr_recommend_args args{};
    args.struct_size = sizeof args;
    args.k = 4;
    args.users = &keys;
    args.context_names = names;
    args.context = oldest;
    args.n_context = 1;
    args.out_ids = labels;
    args.out_string_ids = ids;
    args.out_scores = scores;
    args.out_stage_scores = stage_scores;
    args.out_counts = counts;
    args.out_user_status = status;
    args.workspace = workspace;
    need(gyr_bundle_recommend(b, &args, nullptr, &err_), err_, "recommend");
    for (int u = 0; u < 4; u++) {
      out_ << "user " << users[u] << ' ' << int(status[u]) << ' ' << counts[u];
      for (uint32_t i = 0; i < counts[u]; i++)
        out_ << ' ' << std::string(ids[u * 4 + i].data, ids[u * 4 + i].len) << ' ' << scores[u * 4 + i] << ' '
             << stage_scores[(u * 4 + i) * 2];
      out_ << '\n';
    }
    gyr_workspace_destroy(workspace);
    gyr_bundle_destroy(b);
  }

  std::string folder_;
  gyr_runtime* runtime_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
  std::ostringstream out_;
};

inline std::string answers(const std::string& folder) { return Answers(folder).all(); }

}  // namespace gyr::golden
