// features: columns of a table, for the users or for the candidates.
#include <algorithm>

#include "pipeline/stage.h"

namespace gyr {
namespace {

struct Scratch : StageScratch {
  std::vector<uint8_t> status;   // [columns, keys]
  std::vector<gyr_str> strings;  // string item keys
};

class Features : public Stage {
 public:
  std::shared_ptr<Table> table;
  std::vector<int> columns;
  uint32_t slot = 0;
  bool item_side = false, drop_missing = true, sets_user_status = false;

  std::unique_ptr<StageScratch> make_scratch() const override { return std::make_unique<Scratch>(); }

  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<Scratch*>(scratch);
    Workspace* w = call.workspace;
    Keys keys = item_side ? item_keys(*w, s) : user_keys(*call.args->users);
    Batch& batch = w->slots[slot];
    GYR_TRY(table->get(keys, call.now_us, columns, &batch, &s->status));
    if (sets_user_status) {
      for (uint64_t i = 0; i < keys.count; i++) {
        uint8_t st = s->status[i];
        w->user_status[i] = st == GYR_VALUE_MISSING || st == GYR_VALUE_EXPIRED ? st : uint8_t(GYR_VALUE_PRESENT);
      }
    }
    if (item_side && drop_missing) drop(w, s->status);
    return {};
  }

 private:
  static Keys user_keys(const gyr_keys& k) { return {k.dtype, k.ints, k.strings, k.count}; }

  Keys item_keys(const Workspace& w, Scratch* s) const {
    if (table->key_dtype() == GYR_DTYPE_INT64) return {GYR_DTYPE_INT64, w.ids.data(), nullptr, w.ids.size()};
    const Column& ids = w.slots[kSlotItemKey].columns[0];
    s->strings.resize(w.ids.size());
    for (size_t i = 0; i < w.ids.size(); i++) {
      std::string_view id = ids.string(int64_t(i));
      s->strings[i] = {id.data(), id.size()};
    }
    return {GYR_DTYPE_STRING, nullptr, s->strings.data(), s->strings.size()};
  }

  static void drop(Workspace* w, const std::vector<uint8_t>& status) {
    size_t n = w->ids.size();
    w->keep.resize(n);
    bool all = true;
    for (size_t i = 0; i < n; i++) {
      w->keep[i] = status[i] != GYR_VALUE_MISSING && status[i] != GYR_VALUE_EXPIRED;
      all &= bool(w->keep[i]);
    }
    if (!all) compact(w);
  }
};

Status check_user_key(const Table& table, const std::string& path, Binder* b) {
  if (b->user_key_dtype != GYR_DTYPE_NONE && b->user_key_dtype != table.key_dtype())
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s: has %s keys, an earlier user table has %s", path.c_str(),
                dtype_name(table.key_dtype()), dtype_name(b->user_key_dtype));
  b->user_key_dtype = table.key_dtype();
  return {};
}

Status check_item_key(const Table& table, const std::string& path, Binder* b) {
  if (!b->retrieved)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s: item features need a retrieve stage before them",
                path.c_str());
  bool strings = table.key_dtype() == GYR_DTYPE_STRING;
  if (strings != bool(b->item_ids))
    return fail(
        GYR_E_INVALID_ARGUMENT, "pipeline",
        "%s: has %s keys, but the retrieve stage gives %s ids; its \"ids\" must name an id list exactly when the "
        "item table has string keys",
        path.c_str(), dtype_name(table.key_dtype()), b->item_ids ? "string" : "int64");
  return {};
}

}  // namespace

BoundStage bind_features(SpecReader* spec, Binder* b) {
  auto stage = std::make_unique<Features>();
  int side = 0, missing = 0;
  std::string table_name;
  std::vector<std::string> names;
  GYR_TRY(spec->choice("side", {"user", "item"}, &side));
  GYR_TRY(spec->required_string("table", &table_name));
  GYR_TRY(spec->strings("columns", &names));
  GYR_TRY(spec->choice("missing", {"drop", "keep"}, &missing));
  GYR_ASSIGN(stage->table, find_component(b->components->tables, table_name, "table", spec->path("table")));
  const Table& table = *stage->table;
  stage->item_side = side == 1;
  stage->drop_missing = missing == 0;
  stage->name = side ? "features:item" : "features:user";
  if (side)
    GYR_TRY(check_item_key(table, spec->path("table"), b));
  else
    GYR_TRY(check_user_key(table, spec->path("table"), b));

  if (names.empty())
    for (const Field& f : table.columns()) names.push_back(f.name);
  if (names.empty()) return spec->error("columns", "the table has no columns");
  Scope& scope = side ? b->item : b->user;
  scope.add({table.key_field().name, table.key_dtype()}, side ? kSlotItemKey : kSlotUserKey, 0);
  stage->slot = b->add_slot(stage->item_side);
  for (size_t i = 0; i < names.size(); i++) {
    int column = table.find_column(names[i]);
    if (column < 0) {
      std::string why = "the table has no column \"" + names[i] + "\"";
      return spec->error("columns", why.c_str());
    }
    stage->columns.push_back(column);
    const Field& f = table.columns()[size_t(column)];
    scope.add({f.name, f.dtype, f.is_list}, stage->slot, uint32_t(i));
  }
  if (!side && b->user_table.empty()) {
    b->user_table = table_name;
    stage->sets_user_status = true;
  }
  return BoundStage(std::move(stage));
}

}  // namespace gyr
