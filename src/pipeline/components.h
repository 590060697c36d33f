// What a generation is made of: named components, found once when a pipeline is bound.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "index/index.h"
#include "model/model.h"
#include "table/table.h"
#include "workflow/workflow.h"

namespace gyr {

// String catalogues: index label i stands for the i-th id.
class IdList {
 public:
  static Result<std::shared_ptr<const IdList>> create(const std::vector<std::string_view>& ids);
  static Result<std::shared_ptr<const IdList>> load(const Container& file, std::string_view name);
  Status save(ContainerWriter* file, std::string_view name) const;

  uint64_t size() const { return offsets_.size() - 1; }
  std::string_view id(uint64_t label) const {
    return {chars_.data() + offsets_[label], size_t(offsets_[label + 1] - offsets_[label])};
  }
  int64_t label(std::string_view id) const;  // -1 when unknown

 private:
  Status index();
  std::vector<char> chars_;
  std::vector<int64_t> offsets_{0};
  std::unordered_map<std::string_view, int64_t> labels_;
};

template <class T>
using Named = std::map<std::string, std::shared_ptr<T>, std::less<>>;

struct Components {
  Named<const Workflow> workflows;
  Named<Table> tables;
  Named<Index> indexes;
  Named<const Model> models;
  Named<const IdList> ids;
};

// A component by name; the failure lists what there is.
template <class T>
Result<std::shared_ptr<T>> find_component(const Named<T>& map, std::string_view name, const char* what,
                                          const std::string& path) {
  auto it = map.find(name);
  if (it != map.end()) return it->second;
  std::string have;
  for (const auto& [known, unused] : map) have += (have.empty() ? "" : ", ") + known;
  return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s: no %s named \"%.*s\" (the bundle has: %s)", path.c_str(), what,
              int(name.size()), name.data(), have.empty() ? "none" : have.c_str());
}

}  // namespace gyr
