// One generation: the components of one file and the pipeline bound to them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

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
  std::map<std::string, int64_t> newest_events;  // per table, at open: what came later was upserted live

  // Reads, checks and binds everything; nothing of a bad file stays.
  static Result<std::unique_ptr<Generation>> open(const std::shared_ptr<Runtime>& runtime, const std::string& path);
  // Writes components, pipeline and metadata as one file, after binding them once as a check.
  static Status save(const Components& components, const Json& pipeline, const Json& metadata, const std::string& path);

  Json describe() const;
};

// Moves rows of `from` that are newer than what its file held into the tables of the same name in `to`; newest event
// wins there, too. Columns that one side lacks, or has with another type, stay behind.
Status carry_live_rows(const Generation& from, Generation* to);

}  // namespace gyr
