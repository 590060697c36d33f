// Names to places: which columns exist on each side when a stage runs. Used at creation only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/spec.h"
#include "pipeline/components.h"
#include "pipeline/workspace.h"

namespace gyr {

struct ColumnRef {
  uint32_t slot = 0;
  uint32_t column = 0;
};

// The columns visible on one side; a later one of the same name (an encoded one) hides the earlier.
struct Scope {
  std::vector<ColumnSchema> schemas;
  std::vector<ColumnRef> refs;

  void add(ColumnSchema schema, uint32_t slot, uint32_t column) {
    schemas.push_back(std::move(schema));
    refs.push_back({slot, column});
  }
  int find(std::string_view name) const {
    for (size_t i = schemas.size(); i-- > 0;)
      if (schemas[i].name == name) return int(i);
    return -1;
  }
  std::string names() const;  // for messages
};

struct Binder {
  const Components* components = nullptr;
  Scope user, item;  // context columns are visible on the user side
  uint32_t slots = kFirstStageSlot;
  std::vector<uint32_t> item_slots{kSlotItemKey, kSlotScores};
  std::string user_table;  // set by the first user features stage
  std::shared_ptr<const IdList> item_ids;
  gyr_dtype user_key_dtype = GYR_DTYPE_NONE;
  uint32_t query_dim = 0;  // set by encode
  bool retrieved = false, scored = false;
  uint32_t max_k = 0;               // set by order
  std::vector<std::string> needed;  // every column name any model of the graph reads

  uint32_t add_slot(bool item_side) {
    if (item_side) item_slots.push_back(slots);
    return slots++;
  }
};

// Finds a model's inputs on one side. Codes must be those it was trained with: a raw column of the right name is a
// forgotten encode stage, and would be read as other codes without a word.
Status bind_model_inputs(SpecReader* spec, const ModelInputs& inputs, const Scope& scope, const char* side,
                         std::vector<ColumnRef>* out);

inline std::string Scope::names() const {
  std::string out;
  for (const ColumnSchema& s : schemas) out += (out.empty() ? "" : ", ") + s.name;
  return out.empty() ? "none" : out;
}

}  // namespace gyr
