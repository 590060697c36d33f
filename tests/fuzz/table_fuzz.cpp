// First byte 0: the rest as a saved table (TBL1); 1: as a saved id list (IDS1); 2: as a table with views or a history
// (TBL2).
#include "pipeline/components.h"
#include "tests/fuzz/use_table.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

auto load_ids(const Container& file) { return IdList::load(file, "x"); }

void use_ids(const IdList& ids) {
  round_trip(ids, "IDS1", load_ids);
  for (uint64_t i = 0; i < ids.size(); i++) must(ids.label(ids.id(i)) == int64_t(i), "an id has its own label");
  must(ids.label("no such id, surely") == -1, "an unknown id has no label");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> payload(data + 1, data + size);
  if (data[0] % 3 == 1) {
    auto ids = load_ids(*section(std::move(payload), "IDS1"));
    if (!ids.ok())
      refused_stored(ids.status());
    else
      use_ids(**ids);
    return 0;
  }
  auto table = load_table(*section(std::move(payload), data[0] % 3 ? "TBL2" : "TBL1"));
  if (!table.ok())
    refused_stored(table.status());
  else
    use_table(table->get());
  return 0;
}
