#include "bundle/generation.h"

#include <algorithm>
#include <cinttypes>
#include <iterator>

#include "base/hash.h"
#include "base/knobs.h"
#include "base/spec.h"

namespace gyr {
namespace {

constexpr const char* kManifest = "manifest";
constexpr const char* kManifestKind = "BND1";
constexpr uint64_t kScanRows = 4096;

template <class Map>
void list_components(const Map& map, const char* type, Json* out) {
  for (const auto& [name, component] : map) out->push_back({{"name", name}, {"type", type}});
}

template <class Map>
Status save_components(const Map& map, ContainerWriter* file) {
  for (const auto& [name, component] : map) GYR_TRY(component->save(file, name));
  return {};
}

Status load_component(const std::shared_ptr<Runtime>& runtime, const Container& file, const std::string& name,
                      const std::string& type, Components* out) {
  if (type == "workflow") {
    GYR_ASSIGN(out->workflows[name], Workflow::load(runtime, file, name));
  } else if (type == "table") {
    GYR_ASSIGN(out->tables[name], Table::load(runtime, file, name));
  } else if (type == "index") {
    GYR_ASSIGN(out->indexes[name], Index::load(runtime, file, name));
  } else if (type == "model") {
    GYR_ASSIGN(out->models[name], Model::load(runtime, file, name));
  } else if (type == "ids") {
    GYR_ASSIGN(out->ids[name], IdList::load(file, name));
  } else {
    return fail(GYR_E_FORMAT_TOO_NEW, "bundle", "component \"%.63s\" has the unknown type \"%.40s\"; update gyr",
                name.c_str(), type.c_str());
  }
  return {};
}

uint64_t key_hash(const Column& keys, int64_t row) {
  return keys.physical() == Physical::kString ? hash64(keys.string(row)) : hash64(keys.ints[size_t(row)]);
}

using RowTimes = std::vector<std::pair<uint64_t, int64_t>>;

// Of the row and its views; a scan puts event times behind the key.
int64_t newest_event(const Table& table, const Batch& batch, int64_t row) {
  int64_t newest = INT64_MIN;
  for (size_t f = 0; f < table.schema().time_fields().size(); f++) {
    const Column& times = batch.columns[1 + f];
    if (!times.row_is_null(row)) newest = std::max(newest, times.ints[size_t(row)]);
  }
  return newest;
}

Result<RowTimes> row_times(const Table& table) {
  RowTimes out;
  if (table.schema().time_fields().empty()) return out;
  Batch batch;
  for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
    GYR_TRY(table.scan(&cursor, knobs::capacity(kScanRows), &batch));
    if (batch.rows == 0) continue;
    const Column& keys = batch.columns[size_t(batch.find(table.key_field().name))];
    for (int64_t i = 0; i < batch.rows; i++) out.emplace_back(key_hash(keys, i), newest_event(table, batch, i));
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool is_live(const RowTimes& at_open, uint64_t hash, int64_t time) {
  auto it = std::upper_bound(at_open.begin(), at_open.end(), std::pair(hash, INT64_MAX));
  return it == at_open.begin() || std::prev(it)->first != hash || time > std::prev(it)->second;
}

bool same_times(const Table& a, const Table& b) {
  auto fa = a.schema().time_fields(), fb = b.schema().time_fields();
  auto same = [](const Field& x, const Field& y) { return x.name == y.name; };
  return a.schema().has_views() == b.schema().has_views() &&
         std::equal(fa.begin(), fa.end(), fb.begin(), fb.end(), same);
}

const std::string& event_time_of(const Table& table, int column) {
  const TableSchema& schema = table.schema();
  return schema.groups[schema.group_of[size_t(column)]].event_time;
}

// Whether `to` has a column of the name with the same type and the same event time.
bool same_column(const Table& from, const Table& to, const std::string& name) {
  int a = from.find_column(name), b = to.find_column(name);
  if (a < 0 || b < 0) return false;
  const Field &x = from.columns()[size_t(a)], &y = to.columns()[size_t(b)];
  return x.dtype == y.dtype && x.is_list == y.is_list && event_time_of(from, a) == event_time_of(to, b);
}

// Live rows of `batch`: key, event times, and the columns that both tables have.
void select_rows(const Batch& batch, const Table& from, const RowTimes& at_open, const Table& to, Batch* out) {
  out->names.clear();
  out->columns.clear();
  std::vector<int64_t> live;
  for (int64_t i = 0; i < batch.rows; i++)
    if (is_live(at_open, key_hash(batch.columns[0], i), newest_event(from, batch, i))) live.push_back(i);
  const size_t times = from.schema().time_fields().size();
  for (size_t c = 0; c < batch.columns.size(); c++) {
    const Column& column = batch.columns[c];
    if (c > times && !same_column(from, to, batch.names[c])) continue;
    Column& copy = out->add(batch.names[c], column.dtype, column.is_list);
    for (int64_t i : live) copy.append_row(column, i);
    out->rows = copy.rows();
  }
}

Status read_manifest(const std::shared_ptr<Runtime>& runtime, const Container& file, Generation* g) {
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(kManifest, kManifestKind));
  GYR_ASSIGN(Json manifest, parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "bundle"));
  SpecReader spec(manifest, "", "bundle");
  GYR_TRY(spec.version(1));
  const Json* components = spec.value("components");
  const Json* pipeline = spec.value("pipeline");
  const Json* metadata = spec.value("metadata");
  GYR_TRY(spec.finish());
  if (!components || !components->is_array() || !pipeline)
    return fail(GYR_E_CORRUPT, "bundle", "the manifest lacks components or pipeline");
  for (const Json& c : *components) {
    SpecReader entry(c, "components", "bundle");
    std::string name, type;
    GYR_TRY(entry.required_string("name", &name));
    GYR_TRY(entry.required_string("type", &type));
    GYR_TRY(load_component(runtime, file, name, type, &g->components).in_file(name.c_str()));
  }
  g->pipeline_json = *pipeline;
  if (metadata) g->metadata = *metadata;
  GYR_ASSIGN(g->pipeline, Pipeline::create(pipeline->dump(), g->components));
  return {};
}

}  // namespace

Result<std::unique_ptr<Generation>> Generation::open(const std::shared_ptr<Runtime>& runtime, const std::string& path) {
  GYR_ASSIGN(std::shared_ptr<const Container> file, Container::open(path));
  return read(runtime, *file, path);
}

Result<std::unique_ptr<Generation>> Generation::read(const std::shared_ptr<Runtime>& runtime, const Container& file,
                                                     const std::string& path) {
  auto g = std::make_unique<Generation>();
  g->path = path;
  GYR_TRY(read_manifest(runtime, file, g.get()).in_file(path.c_str()));
  for (const auto& [name, table] : g->components.tables) {
    GYR_ASSIGN(g->rows_at_open[name], row_times(*table));
  }
  return g;
}

Status Generation::write(const Components& components, const Json& pipeline, const Json& metadata,
                         ContainerWriter* file) {
  auto bound = Pipeline::create(pipeline.dump(), components);
  if (!bound.ok()) return std::move(bound.status());
  Json list = Json::array();
  list_components(components.workflows, "workflow", &list);
  list_components(components.tables, "table", &list);
  list_components(components.indexes, "index", &list);
  list_components(components.models, "model", &list);
  list_components(components.ids, "ids", &list);
  Json manifest = {{"version", 1}, {"components", list}, {"pipeline", pipeline}};
  if (!metadata.is_null()) manifest["metadata"] = metadata;
  std::string text = manifest.dump();
  GYR_TRY(file->add(kManifest, kManifestKind, std::vector<uint8_t>(text.begin(), text.end())));
  GYR_TRY(save_components(components.workflows, file));
  GYR_TRY(save_components(components.tables, file));
  GYR_TRY(save_components(components.indexes, file));
  GYR_TRY(save_components(components.models, file));
  return save_components(components.ids, file);
}

Status Generation::save(const Components& components, const Json& pipeline, const Json& metadata,
                        const std::string& path) {
  ContainerWriter file;
  GYR_TRY(write(components, pipeline, metadata, &file));
  return file.save(path);
}

Json Generation::describe() const {
  Json list = Json::array();
  for (const auto& [name, w] : components.workflows)
    list.push_back({{"name", name}, {"type", "workflow"}, {"outputs", w->outputs().columns.size()}});
  for (const auto& [name, t] : components.tables)
    list.push_back({{"name", name},
                    {"type", "table"},
                    {"key", t->key_field().name},
                    {"rows", t->rows()},
                    {"columns", t->columns().size()},
                    {"bytes", t->bytes()}});
  for (const auto& [name, index] : components.indexes) {
    gyr_index_info info{};
    info.struct_size = sizeof info;
    index->fill_info(&info);
    list.push_back({{"name", name},
                    {"type", "index"},
                    {"kind", info.kind == GYR_INDEX_EXACT ? "exact"
                             : info.kind == GYR_INDEX_IVF ? "ivf"
                                                          : "graph"},
                    {"dim", info.dim},
                    {"count", info.count},
                    {"bytes", info.bytes}});
  }
  for (const auto& [name, m] : components.models) {
    Json entry = {{"name", name}, {"type", "model"}};
    Json described = m->describe();
    for (const auto& [key, value] : described.members()) entry[key] = value;
    list.push_back(entry);
  }
  for (const auto& [name, ids] : components.ids)
    list.push_back({{"name", name}, {"type", "ids"}, {"count", ids->size()}});
  return {{"generation", number},
          {"path", path},
          {"components", list},
          {"pipeline", pipeline_json},
          {"metadata", metadata}};
}

Status carry_live_rows(const Generation& from, Generation* to) {
  for (const auto& [name, table] : from.components.tables) {
    auto it = to->components.tables.find(name);
    if (it == to->components.tables.end() || table->schema().time_fields().empty()) continue;
    Table& target = *it->second;
    if (target.key_dtype() != table->key_dtype() || target.key_field().name != table->key_field().name ||
        !same_times(*table, target))
      continue;
    Batch batch, live;
    Table::UpsertStats stats;
    for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
      GYR_TRY(table->scan(&cursor, knobs::capacity(kScanRows), &batch));
      if (batch.rows == 0) continue;
      select_rows(batch, *table, from.rows_at_open.at(name), target, &live);
      if (live.rows) GYR_TRY(target.upsert(live, &stats));
    }
  }
  return {};
}

}  // namespace gyr
