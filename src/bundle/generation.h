// One generation: the components of one file and the pipeline bound to them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "exec/runtime.h"
#include "pipeline/components.h"
#include "pipeline/pipeline.h"

namespace gyr {

struct Generation {
  uint64_t number = 0;
  std::string path;
  Components components;
  std::shared_ptr<const Pipeline> pipeline;
  Json pipeline_json, metadata;
  // Per table: (hash of the key, event time) of every row at open, sorted. A row that is not among them, or newer, was
  // upserted live.
  std::map<std::string, std::vector<std::pair<uint64_t, int64_t>>> rows_at_open;

  // Reads, checks and binds everything; nothing of a bad file stays.
  static Result<std::unique_ptr<Generation>> open(const std::shared_ptr<Runtime>& runtime, const std::string& path);
  // The same from a container that is open already; `path` names it in messages.
  static Result<std::unique_ptr<Generation>> read(const std::shared_ptr<Runtime>& runtime, const Container& file,
                                                  const std::string& path);
  // Puts components, pipeline and metadata into one file, after binding them once as a check.
  static Status write(const Components& components, const Json& pipeline, const Json& metadata, ContainerWriter* file);
  static Status save(const Components& components, const Json& pipeline, const Json& metadata, const std::string& path);

  Json describe() const;
};

// Copies rows of `from` that were upserted live into the tables of the same name in `to`; newest event wins there, too.
// Columns that one side lacks, or has with another type, stay behind.
Status carry_live_rows(const Generation& from, Generation* to);

}  // namespace gyr
