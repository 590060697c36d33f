#include "model/model.h"

#include <cinttypes>
#include <cmath>

#include "model/kinds.h"

namespace gyr {
namespace {

constexpr uint32_t kLayout = 1;
constexpr const char* kSection = "MDL1";

struct Kind {
  const char* name;
  TrainerResult (*make)(RuntimePtr, SpecReader&, const Schema&);
  ModelResult (*load)(RuntimePtr, ModelReader&);
};
constexpr Kind kKinds[] = {
    {"popularity", make_popularity, load_popularity},
    {"item_knn", make_item_knn, load_item_knn},
    {"ials", make_ials, load_ials},
    {"two_tower", make_two_tower, load_two_tower},
    {"dlrm", make_dlrm, load_dlrm},
};

}  // namespace

Status as_corrupt(Status s) {
  return std::move(s).in_file("model header");
}

Status row_error(std::string_view column, int64_t row, const char* problem) {
  return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%.*s\", row %" PRId64 ": %s", int(column.size()),
              column.data(), row, problem);
}

Status code_column(const Batch& batch, const std::string& name, bool list, const Column** out) {
  int at = batch.find(name);
  if (at < 0) return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\" is missing from the rows", name.c_str());
  const Column& c = batch.columns[size_t(at)];
  if (c.physical() != Physical::kInt || c.is_list != list)
    return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected %s of integer codes, got %s%s", name.c_str(),
                list ? "lists" : "a column", c.is_list ? "lists of " : "", dtype_name(c.dtype));
  *out = &c;
  return {};
}

Status check_code(const std::string& name, int64_t row, int64_t code, int64_t cardinality) {
  if (code >= 0 && code < cardinality) return {};
  char text[120];
  std::snprintf(text, sizeof text, "code %" PRId64 " is outside [0, %" PRId64 ") of its schema", code, cardinality);
  return row_error(name, row, text);
}

Status ModelWriter::add_to(ContainerWriter* file, std::string_view name) {
  ByteWriter all;
  all.put<uint32_t>(kLayout);
  all.put_string(header.dump());
  // Arrays are padded relative to their own start, so the payload starts them on a multiple of 8.
  all.bytes().resize(align_up(all.bytes().size(), 8));
  all.append(blobs_.bytes().data(), blobs_.bytes().size());
  return file->add(name, kSection, std::move(all.bytes()));
}

Result<std::unique_ptr<ModelReader>> ModelReader::open(const Container& file, std::string_view name) {
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, kSection));
  std::unique_ptr<ModelReader> r(new ModelReader(std::move(bytes)));
  uint32_t layout = 0;
  GYR_TRY(r->bytes_.get(&layout));
  if (layout > kLayout)
    return fail(GYR_E_FORMAT_TOO_NEW, "model", "model layout %u is newer than this library's %u", layout, kLayout);
  if (layout != kLayout) return fail(GYR_E_CORRUPT, "model", "model layout %u does not exist", layout);
  std::string header;
  GYR_TRY(r->bytes_.get_string(&header));
  Result<Json> parsed = parse_json(header, "model");
  if (!parsed.ok()) return as_corrupt(std::move(parsed.status()));
  r->header_ = std::move(*parsed);
  uint64_t start = align_up(r->owned_.size() - r->bytes_.left(), 8);
  if (start > r->owned_.size()) return fail(GYR_E_CORRUPT, "model", "model: truncated after its header");
  r->bytes_ = ByteReader(std::span(r->owned_).subspan(start), "model");
  return r;
}

Status ModelReader::wrong_size(const char* what, uint64_t got, uint64_t expected) const {
  return fail(GYR_E_CORRUPT, "model", "model: %s holds %" PRIu64 " values, its header promises %" PRIu64, what, got,
              expected);
}

Status ModelReader::floats(const char* what, uint64_t n, Floats* out) {
  GYR_TRY(array(what, n, out));
  for (float v : *out)
    if (!std::isfinite(v)) return fail(GYR_E_CORRUPT, "model", "model: %s holds a value that is not finite", what);
  return {};
}

TrainerResult Trainer::create(std::shared_ptr<Runtime> runtime, std::string_view spec_json,
                              std::string_view schema_json) {
  GYR_ASSIGN(Json json, parse_json(spec_json, "model"));
  GYR_ASSIGN(Schema schema, schema_from_json(schema_json));
  SpecReader spec(json, "", "model");
  GYR_TRY(spec.version(1));
  std::vector<std::string_view> names;
  for (const Kind& k : kKinds) names.push_back(k.name);
  int kind = 0;
  if (!spec.has("kind")) return spec.error("kind", "is required");
  GYR_TRY(spec.choice("kind", names, &kind));
  return kKinds[kind].make(std::move(runtime), spec, schema);
}

ModelResult Model::load(std::shared_ptr<Runtime> runtime, const Container& file, std::string_view name) {
  GYR_ASSIGN(std::unique_ptr<ModelReader> reader, ModelReader::open(file, name));
  const Json& header = reader->header();
  const Json* kind = header.find("kind");
  if (!kind || !kind->is_string()) return fail(GYR_E_CORRUPT, "model", "model header: has no kind");
  for (const Kind& k : kKinds)
    if (kind->string() == k.name) {
      GYR_ASSIGN(std::shared_ptr<const Model> model, k.load(std::move(runtime), *reader));
      GYR_TRY(reader->finish());
      return model;
    }
  return fail(GYR_E_FORMAT_TOO_NEW, "model", "model header: kind \"%.60s\" is unknown to this library",
              kind->string().c_str());
}

Status Model::bind(const Batch& batch, const ModelInputs& inputs, std::vector<const Column*>* columns) {
  for (const std::string& name : inputs.names) {
    int at = batch.find(name);
    if (at < 0) return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\" is missing from the rows", name.c_str());
    columns->push_back(&batch.columns[size_t(at)]);
  }
  return {};
}

Status Model::predict(const Batch& batch, Scratch* scratch, float* out) const {
  std::vector<const Column*> user, item;
  GYR_TRY(bind(batch, score_user_inputs(), &user));
  GYR_TRY(bind(batch, score_item_inputs(), &item));
  for (int64_t r = 0; r < batch.rows; r++) GYR_TRY(score(user, r, item, r, 1, scratch, out + r));
  return {};
}

}  // namespace gyr
