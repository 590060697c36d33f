// A filter of an index by ids and by a condition over a table, which can be asked again.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "data/expression.h"
#include "index/index.h"
#include "pipeline/components.h"
#include "table/table.h"

namespace gyr {

class ItemFilter {
 public:
  struct Options {
    std::optional<std::vector<int64_t>> ids;
    std::shared_ptr<const Table> table;  // null = no condition
    std::string condition;
    std::shared_ptr<const IdList> keys;  // of tables with string keys
    int64_t now_us = 0;
  };
  static Result<std::shared_ptr<ItemFilter>> create(std::shared_ptr<const Index> index, Options options,
                                                    gyr_task* task);
  Status refresh(gyr_task* task);
  std::shared_ptr<const Index::Selection> selection() const;
  void fill_info(gyr_index_filter_info* info) const;

 private:
  ItemFilter(std::shared_ptr<const Index> index, Options options)
      : index_(std::move(index)), options_(std::move(options)) {}
  Status bind();

  const std::shared_ptr<const Index> index_;
  const Options options_;
  std::unique_ptr<Expression> expression_;
  std::vector<int> columns_;  // of the table, as the expression numbers them; -1 = its key
  mutable std::mutex mutex_;
  std::shared_ptr<const Index::Selection> selection_;
};

}  // namespace gyr
