#include "pipeline/seen.h"

namespace gyr {

Status Seen::bind(SpecReader* spec, const char* key, const std::string& column, const Binder& b) {
  int at = b.user.find(column);
  if (at < 0) {
    std::string why = "no user column \"" + column + "\" (there are: " + b.user.names() + ")";
    return spec->error(key, why.c_str());
  }
  // The raw column is wanted even where an encoded one of the same name hides it.
  gyr_dtype wanted = b.item_ids ? GYR_DTYPE_STRING : GYR_DTYPE_INT64;
  for (size_t i = 0; i < b.user.schemas.size(); i++) {
    const ColumnSchema& s = b.user.schemas[i];
    if (s.name != column || s.cardinality > 0) continue;
    if (!s.is_list || (wanted == GYR_DTYPE_STRING) != (s.dtype == GYR_DTYPE_STRING) ||
        physical_of(s.dtype) == Physical::kFloat)
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s: \"%s\" must be a list of %s item ids, it is %s%s",
                  spec->path(key).c_str(), column.c_str(), dtype_name(wanted), s.is_list ? "a list of " : "",
                  dtype_name(s.dtype));
    ref_ = b.user.refs[i];
    ids_ = b.item_ids;
    bound_ = true;
    return {};
  }
  return spec->error(key, "names an encoded column; the raw item ids are needed");
}

void Seen::labels(const Workspace& w, SeenScratch* s, const int64_t** labels, const int64_t** offsets) const {
  const Column& c = w.slots[ref_.slot].columns[ref_.column];
  if (!ids_ && c.leaf_valid.empty()) {
    *labels = c.ints.data();
    *offsets = c.list_offsets.data();
    return;
  }
  s->labels.clear();
  s->offsets.assign(1, 0);
  for (size_t row = 0; row + 1 < c.list_offsets.size(); row++) {
    for (int64_t i = c.list_offsets[row]; i < c.list_offsets[row + 1]; i++) {
      if (!c.leaf_is_valid(i)) continue;
      if (!ids_)
        s->labels.push_back(c.ints[size_t(i)]);
      else if (int64_t label = ids_->label(c.string(i)); label >= 0)
        s->labels.push_back(label);
    }
    s->offsets.push_back(int64_t(s->labels.size()));
  }
  *labels = s->labels.data();
  *offsets = s->offsets.data();
}

}  // namespace gyr
