#include "workflow/op.h"

#include <cinttypes>

namespace gyr::workflow {

ColumnSchema derive(const ColumnSchema& in, gyr_dtype dtype, uint32_t add) {
  ColumnSchema out = in;
  out.dtype = dtype;
  out.cardinality = 0;
  out.domain.clear();
  out.tags = add_tags(in.tags, add);
  return out;
}

Status numeric_only(const OpContext& c, const char* op) {
  for (size_t i = 0; i < c.in->size(); i++)
    if (physical_of((*c.in)[i].dtype) == Physical::kString)
      return fail(GYR_E_INVALID_ARGUMENT, "workflow", "%s[%zu]: %s needs numbers, column \"%s\" holds strings",
                  c.spec->path("columns").c_str(), i, op, (*c.in)[i].name.c_str());
  return {};
}

Status per_column(OpContext& c, const char* key, int64_t min, int64_t max, int64_t otherwise,
                  std::vector<int64_t>* out) {
  out->assign(c.in->size(), otherwise);
  const Json* v = c.spec->value(key);
  if (!v) return {};
  if (!v->is_object()) {
    int64_t n = 0;
    GYR_TRY(c.spec->integer(key, min, max, &n));
    out->assign(c.in->size(), n);
    return {};
  }
  SpecReader by_column(*v, c.spec->path(key), "workflow");
  for (size_t i = 0; i < c.in->size(); i++) GYR_TRY(by_column.integer((*c.in)[i].name.c_str(), min, max, &(*out)[i]));
  return by_column.finish();
}

}  // namespace gyr::workflow
