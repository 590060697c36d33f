// The seen filter's list: a user column of item ids, as index labels.
#pragma once

#include "pipeline/stage.h"

namespace gyr {

struct SeenScratch {
  std::vector<int64_t> labels, offsets;
};

class Seen {
 public:
  bool bound() const { return bound_; }
  Status bind(SpecReader* spec, const char* key, const std::string& column, const Binder& binder);
  // Labels of all users back to back; valid until the next call with the scratch.
  void labels(const Workspace& w, SeenScratch* scratch, const int64_t** labels, const int64_t** offsets) const;

 private:
  bool bound_ = false;
  ColumnRef ref_;
  std::shared_ptr<const IdList> ids_;
};

}  // namespace gyr
