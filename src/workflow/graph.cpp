#include "workflow/graph.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace gyr::workflow {
namespace {

constexpr size_t kMaxItems = 4096;
constexpr int kMaxSlots = 1 << 18;

struct OpName {
  const char* name;
  Status (*make)(OpContext&);
};
constexpr OpName kOps[] = {
    {"Categorify", make_categorify},
    {"FillMissing", make_fill_missing},
    {"Clip", make_clip},
    {"LogOp", make_log},
    {"Normalize", make_normalize},
    {"NormalizeMinMax", make_normalize_min_max},
    {"Bucketize", make_bucketize},
    {"HashBucket", make_hash_bucket},
    {"ListSlice", make_list_slice},
};

Status bad(const std::string& path, const std::string& text) {
  return fail(GYR_E_INVALID_ARGUMENT, "workflow", "%s: %s", path.c_str(), text.c_str());
}

class Parser {
 public:
  Parser(OpGraph* graph, std::pmr::memory_resource* memory) : graph_(*graph), memory_(memory) {}

  Status parse(const Json& json) {
    SpecReader spec(json, "", "workflow");
    if (!json.is_object()) return bad("(top level)", "expected an object");
    GYR_TRY(spec.version(1));
    const Json* inputs = spec.value("inputs");
    const Json* ops = spec.value("ops");
    if (!inputs || !inputs->is_array() || inputs->empty() || inputs->size() > kMaxItems)
      return spec.error("inputs", "is required: a list of 1..4096 columns");
    if (ops && (!ops->is_array() || ops->size() > kMaxItems))
      return spec.error("ops", "expected a list of at most 4096 ops");
    std::vector<std::string> outputs;
    bool chosen = spec.has("outputs");
    GYR_TRY(spec.strings("outputs", &outputs));
    GYR_TRY(spec.finish());
    for (size_t i = 0; i < inputs->size(); i++) GYR_TRY(input((*inputs)[i], "inputs[" + std::to_string(i) + "]"));
    for (size_t i = 0; ops && i < ops->size(); i++) GYR_TRY(op((*ops)[i], "ops[" + std::to_string(i) + "]"));
    if (!chosen) {
      graph_.outputs = std::move(env_);
      return {};
    }
    if (outputs.empty()) return bad("outputs", "must not be empty; leave it out to get every column");
    std::set<std::string> seen;
    for (const std::string& name : outputs) {
      int at = find(name);
      if (at < 0) return bad("outputs", "no column \"" + name + "\" at the end of the graph");
      if (!seen.insert(name).second) return bad("outputs", "\"" + name + "\" appears twice");
      graph_.outputs.push_back(env_[size_t(at)]);
    }
    return {};
  }

 private:
  struct Source {
    int slot, learned_by;
    bool is_code;
  };

  int find(const std::string& name) const {
    for (size_t i = 0; i < env_.size(); i++)
      if (env_[i].schema.name == name) return int(i);
    return -1;
  }

  Status check_name(const std::string& name, const std::string& path) const {
    if (name.empty() || name.find('\0') != std::string::npos) return bad(path, "a column needs a name");
    if (find(name) >= 0) return bad(path, "there is a column \"" + name + "\" already");
    if (env_.size() >= kMaxItems) return bad(path, "more than 4096 columns");
    return {};
  }

  Status input(const Json& json, const std::string& path) {
    SpecReader spec(json, path, "workflow");
    ColumnSchema column;
    std::string dtype;
    std::vector<std::string> tags;
    GYR_TRY(spec.required_string("name", &column.name));
    GYR_TRY(check_name(column.name, spec.path("name")));
    GYR_TRY(spec.required_string("dtype", &dtype));
    if (!dtype_from_name(dtype, &column.dtype) || column.dtype == GYR_DTYPE_NONE)
      return bad(spec.path("dtype"), "unknown type \"" + dtype +
                                         "\"; known: bool, int8 .. int64, uint8 .. uint64, "
                                         "float32, float64, string, timestamp");
    GYR_TRY(spec.boolean("list", &column.is_list));
    GYR_TRY(spec.strings("tags", &tags));
    GYR_TRY(spec.finish());
    Status s = parse_tags(tags, &column.tags);
    if (!s.ok()) return std::move(s).at(spec.path("tags").c_str());
    if (column.is_list) column.tags = add_tags(column.tags, kTagList);
    column.sources = {column.name};
    graph_.inputs.columns.push_back(column);
    env_.push_back({column, graph_.slots++});
    return {};
  }

  Status columns(SpecReader* spec, std::vector<int>* out) {
    std::vector<std::string> names;
    GYR_TRY(spec->required_strings("columns", &names));
    for (size_t i = 0; i < names.size(); i++) {
      std::string path = spec->path("columns") + "[" + std::to_string(i) + "]";
      int at = find(names[i]);
      if (at < 0) return bad(path, "no column \"" + names[i] + "\" at this point of the graph");
      if (std::find(out->begin(), out->end(), at) != out->end()) return bad(path, "\"" + names[i] + "\" appears twice");
      out->push_back(at);
    }
    return {};
  }

  Status op(const Json& json, const std::string& path) {
    if (!json.is_object()) return bad(path, "expected an object");
    SpecReader spec(json, path, "workflow");
    std::string word;
    GYR_TRY(spec.required_string("op", &word));
    if (word == "Filter") return filter(&spec, path);
    if (word == "Dropna") return dropna(&spec, path);
    if (word == "Rename") return rename(&spec);
    if (word == "AddTags") return tag(&spec);
    for (const OpName& known : kOps)
      if (word == known.name) return column_op(&spec, path, known);
    std::string all = "Filter, Dropna, Rename, AddTags";
    for (const OpName& known : kOps) all += std::string(", ") + known.name;
    return bad(spec.path("op"), "unknown op \"" + word.substr(0, 64) + "\"; known: " + all);
  }

  Status column_op(SpecReader* spec, const std::string& path, const OpName& kind) {
    std::vector<int> at;
    std::vector<std::string> as;
    GYR_TRY(columns(spec, &at));
    GYR_TRY(spec->strings("as", &as));
    bool replaces = !spec->has("as");
    if (!replaces && as.size() != at.size()) return bad(spec->path("as"), "needs as many names as \"columns\"");
    std::vector<ColumnSchema> in;
    for (size_t i = 0; i < at.size(); i++) {
      in.push_back(env_[size_t(at[i])].schema);
      if (replaces)
        as.push_back(in.back().name);
      else
        GYR_TRY(check_name(as[i], spec->path("as")));
      if (std::count(as.begin(), as.end(), as[i]) > 1) return bad(spec->path("as"), "\"" + as[i] + "\" appears twice");
    }
    if (graph_.slots + 2 * int(at.size()) > kMaxSlots) return bad(path, "the graph is too large");
    std::vector<OpUnit> units;
    OpContext context{spec, &in, &as, memory_, &units};
    GYR_TRY(kind.make(context));
    GYR_TRY(spec->finish());

    // All units read the columns as they were before the op.
    std::vector<Source> before;
    for (int i : at) before.push_back({env_[size_t(i)].slot, env_[size_t(i)].learned_by, env_[size_t(i)].is_code});
    for (OpUnit& unit : units) {
      int number = int(graph_.nodes.size());
      bool learns = unit.op->learns() || unit.op->given();
      OpNode& node = graph_.nodes.emplace_back();
      node.op = std::move(unit.op);
      node.path = path;
      std::string domain = unit.out[0].domain;
      // A domain is one vocabulary: another op over the same names gets another one.
      if (unit.columns.size() > 1 && !domains_.insert(domain).second) domain += "#" + std::to_string(number);
      for (size_t k = 0; k < unit.columns.size(); k++) {
        size_t column = size_t(unit.columns[k]);
        const Source& from = before[column];
        Output made{unit.out[k], graph_.slots++};
        if (unit.columns.size() > 1) made.schema.domain = domain;
        if (!unit.extra) made.schema.name = as[column];
        if (learns)
          made.learned_by = number, made.is_code = node.op->cardinality(nullptr) > 0;
        else if (unit.keeps_codes && from.is_code)
          made.learned_by = from.learned_by, made.is_code = true;
        node.in.push_back(from.slot);
        node.out.push_back(made.slot);
        graph_.steps.push_back({Step::kOp, number, int(k), from.slot, made.slot, stage()});
        if (unit.extra) GYR_TRY(check_name(made.schema.name, path));
        if (replaces && !unit.extra)
          env_[size_t(at[column])] = std::move(made);
        else
          env_.push_back(std::move(made));
      }
    }
    return {};
  }

  int stage() const { return int(graph_.filters.size()); }

  Status add_filter(RowFilter filter) {
    int number = stage();
    if (graph_.slots + int(env_.size()) > kMaxSlots) return bad(filter.path, "the graph is too large");
    graph_.steps.push_back({Step::kFilter, number, 0, -1, -1, number});
    graph_.filters.push_back(std::move(filter));
    for (Output& column : env_) {
      int slot = graph_.slots++;
      graph_.steps.push_back({Step::kGather, number, 0, column.slot, slot, number});
      column.slot = slot;
    }
    return {};
  }

  Status filter(SpecReader* spec, const std::string& path) {
    RowFilter f{path};
    std::string text;
    GYR_TRY(spec->required_string("expr", &text));
    GYR_TRY(spec->boolean("optional", &f.optional));
    GYR_TRY(spec->finish());
    std::vector<ColumnSchema> schemas;
    for (const Output& column : env_) {
      schemas.push_back(column.schema);
      f.slots.push_back(column.slot);
    }
    auto made = Expression::compile(text, schemas);
    if (!made.ok()) return std::move(made.status()).at(spec->path("expr").c_str());
    f.condition = std::move(*made);
    if (!f.condition->is_condition()) return bad(spec->path("expr"), "is a number; Filter needs a condition");
    f.used = f.condition->used();
    return add_filter(std::move(f));
  }

  Status dropna(SpecReader* spec, const std::string& path) {
    RowFilter f{path};
    std::vector<int> at;
    GYR_TRY(columns(spec, &at));
    GYR_TRY(spec->boolean("optional", &f.optional));
    GYR_TRY(spec->finish());
    for (size_t i = 0; i < at.size(); i++) {
      f.slots.push_back(env_[size_t(at[i])].slot);
      f.used.push_back(int(i));
    }
    return add_filter(std::move(f));
  }

  Status rename(SpecReader* spec) {
    std::vector<int> at;
    std::string name, postfix;
    GYR_TRY(columns(spec, &at));
    GYR_TRY(spec->string("name", &name));
    GYR_TRY(spec->string("postfix", &postfix));
    GYR_TRY(spec->finish());
    if (name.empty() == postfix.empty()) return spec->error("name", "Rename needs either name or postfix");
    if (!name.empty() && at.size() != 1) return spec->error("name", "renames one column; use postfix for several");
    for (int i : at) {
      std::string to = name.empty() ? env_[size_t(i)].schema.name + postfix : name;
      GYR_TRY(check_name(to, spec->path(name.empty() ? "postfix" : "name")));
      env_[size_t(i)].schema.name = to;
    }
    return {};
  }

  Status tag(SpecReader* spec) {
    std::vector<int> at;
    std::vector<std::string> words;
    uint32_t tags = 0;
    GYR_TRY(columns(spec, &at));
    GYR_TRY(spec->required_strings("tags", &words));
    GYR_TRY(spec->finish());
    Status s = parse_tags(words, &tags);
    if (!s.ok()) return std::move(s).at(spec->path("tags").c_str());
    for (int i : at) env_[size_t(i)].schema.tags = add_tags(env_[size_t(i)].schema.tags, tags);
    return {};
  }

  OpGraph& graph_;
  std::pmr::memory_resource* memory_;
  std::vector<Output> env_;  // the columns at this point, in order
  std::set<std::string> domains_;
};

}  // namespace

Result<std::shared_ptr<const OpGraph>> parse_graph(std::string_view text, std::pmr::memory_resource* memory) {
  GYR_ASSIGN(Json json, parse_json(text, "workflow"));
  auto graph = std::make_shared<OpGraph>();
  GYR_TRY(Parser(graph.get(), memory).parse(json));
  graph->json = json.dump();
  return std::shared_ptr<const OpGraph>(std::move(graph));
}

}  // namespace gyr::workflow
