#include "pipeline/item_filter.h"

#include "base/clock.h"

namespace gyr {
namespace {

// One reading of the table, a part of the ids at a time.
class Reading {
 public:
  Reading(const Table& table, const IdList* keys, const Expression& expression, const std::vector<int>& columns,
          int64_t now_us)
      : table_(table), keys_(keys), expression_(expression), now_us_(now_us) {
    for (int used : expression.used())
      if (columns[size_t(used)] >= 0) wanted_.push_back(columns[size_t(used)]);
    given_.assign(columns.size(), nullptr);
    key_.reset(table.key_dtype(), false);
    places_ = &columns;
  }

  Status run(std::span<const int64_t> ids, uint8_t* keep) {
    Keys keys{table_.key_dtype(), ids.data(), nullptr, ids.size()};
    if (keys_) {
      strings_.resize(ids.size());
      for (size_t i = 0; i < ids.size(); i++) {
        const bool known = uint64_t(ids[i]) < keys_->size();
        const std::string_view key = known ? keys_->id(uint64_t(ids[i])) : std::string_view();
        strings_[i] = {key.data(), key.size()};
        keep[i] = known;
      }
      keys.ints = nullptr;
      keys.strings = strings_.data();
    }
    GYR_TRY(table_.get(keys, now_us_, wanted_, &rows_, &status_));
    size_t column = 0;
    for (int used : expression_.used()) {
      const bool is_key = (*places_)[size_t(used)] < 0;
      if (is_key) fill_key(keys);
      given_[size_t(used)] = is_key ? &key_ : &rows_.columns[column++];
    }
    GYR_TRY(expression_.run_condition(given_, int64_t(ids.size()), &scratch_, &passed_));
    for (size_t i = 0; i < ids.size(); i++) keep[i] &= passed_[i];
    return {};
  }

 private:
  void fill_key(const Keys& keys) {
    key_.reset(keys.dtype, false);
    for (uint64_t i = 0; i < keys.count; i++) {
      if (keys.ints)
        key_.push_int(keys.ints[i]);
      else
        key_.push_string({keys.strings[i].data, size_t(keys.strings[i].len)});
    }
  }

  const Table& table_;
  const IdList* keys_;
  const Expression& expression_;
  const int64_t now_us_;
  const std::vector<int>* places_;
  std::vector<int> wanted_;
  std::vector<const Column*> given_;
  std::vector<gyr_str> strings_;
  std::vector<uint8_t> status_, passed_;
  Column key_;
  Batch rows_;
  Expression::Scratch scratch_;
};

}  // namespace

Result<std::shared_ptr<ItemFilter>> ItemFilter::create(std::shared_ptr<const Index> index, Options options,
                                                       gyr_task* task) {
  std::shared_ptr<ItemFilter> filter(new ItemFilter(std::move(index), std::move(options)));
  if (filter->options_.table) GYR_TRY(filter->bind());
  GYR_TRY(filter->refresh(task));
  return filter;
}

Status ItemFilter::bind() {
  const Table& table = *options_.table;
  const bool strings = table.key_dtype() == GYR_DTYPE_STRING;
  if (strings != bool(options_.keys))
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "the table has %s keys, which %s \"keys\" that name each id",
                dtype_name(table.key_dtype()), strings ? "needs" : "takes no");
  std::vector<ColumnSchema> schema;
  for (size_t i = 0; i < table.columns().size(); i++) {
    const Field& field = table.columns()[i];
    ColumnSchema column{field.name, field.dtype};
    column.is_list = field.is_list;
    schema.push_back(std::move(column));
    columns_.push_back(int(i));
  }
  if (table.find_column(table.key_field().name) < 0) {
    schema.push_back({table.key_field().name, table.key_dtype()});
    columns_.push_back(-1);
  }
  auto compiled = Expression::compile(options_.condition, schema);
  if (!compiled.ok()) return std::move(compiled.status()).at("condition");
  expression_ = std::move(*compiled);
  if (expression_->is_condition()) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "condition: must be a condition, like year >= 1990");
}

Status ItemFilter::refresh(gyr_task* task) {
  Index::IdSpan ids;
  if (options_.ids) ids.emplace(*options_.ids);
  Index::Test test;
  std::optional<Reading> reading;
  if (expression_) {
    const int64_t now_us = options_.now_us ? options_.now_us : realtime_us();
    reading.emplace(*options_.table, options_.keys.get(), *expression_, columns_, now_us);
    test = [&](std::span<const int64_t> part, uint8_t* keep) { return reading->run(part, keep); };
  }
  GYR_ASSIGN(auto selection, index_->select(ids, test, task));
  std::lock_guard lock(mutex_);
  selection_.swap(selection);  // the old one goes when its last search does
  return {};
}

std::shared_ptr<const Index::Selection> ItemFilter::selection() const {
  std::lock_guard lock(mutex_);
  return selection_;
}

void ItemFilter::fill_info(gyr_index_filter_info* info) const { index_->fill_filter_info(*selection(), info); }

}  // namespace gyr
