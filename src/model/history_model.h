// Models that score a history of item codes against every item: popularity, item_knn, ials.
#pragma once

#include <span>

#include "model/kinds.h"

namespace gyr {

// What the spec says about the interactions: column names, and how many codes at the start are not items.
struct InteractionSpec {
  std::string user = "user", item = "item", history = "history";
  int64_t reserved = 3;  // 0 pad, 1 null, 2 out of vocabulary: the workflow's layout with one OOV bucket
  int64_t users = 0, items = 0;
  Status read(SpecReader& spec, const Schema& schema, bool needs_user);
  void write(Json* header) const;
  Status read_header(SpecReader& header);
};

// Interactions in stream order. They stay after fit(), so that a second fit sees the union.
class InteractionTrainer : public Trainer {
 public:
  InteractionTrainer(RuntimePtr runtime, InteractionSpec names)
      : runtime_(std::move(runtime)),
        names_(std::move(names)),
        users_(runtime_->memory()),
        items_(runtime_->memory()) {}
  Status add_items(const Batch&) override { return {}; }
  Status add_rows(const Batch& batch) override;
  void drop_rows() override;
  const Json& history() const override { return history_; }

 protected:
  // CSR of the distinct items of each user, ascending; reserved codes left out.
  struct Csr {
    std::pmr::vector<uint64_t> offsets;
    std::pmr::vector<uint32_t> items;
    explicit Csr(std::pmr::memory_resource* m) : offsets(m), items(m) {}
    std::span<const uint32_t> row(uint64_t i) const { return {items.data() + offsets[i], offsets[i + 1] - offsets[i]}; }
  };
  Csr by_user() const;
  Csr transpose(const Csr& from, uint64_t rows) const;
  Status require_rows() const;
  void record(int64_t epoch, double loss, double seconds);

  RuntimePtr runtime_;
  InteractionSpec names_;
  std::pmr::vector<uint32_t> users_, items_;
  size_t fitted_rows_ = 0;
  Json history_ = Json::array();
};

class HistoryModel : public Model {
 public:
  const ModelInputs& encode_inputs(gyr_side) const override { return none_; }
  const ModelInputs& score_user_inputs() const override { return history_input_; }
  const ModelInputs& score_item_inputs() const override { return item_input_; }
  uint32_t dim() const override { return 0; }
  Status encode(gyr_side, const std::vector<const Column*>&, int64_t, Scratch*, float*) const override;
  Status recommend(const int64_t* items, const int64_t* offsets, uint64_t n, uint32_t k, const int64_t* exclude,
                   const int64_t* exclude_offsets, int64_t* out_items, float* out_scores) const override;

 protected:
  HistoryModel(RuntimePtr runtime, InteractionSpec names);
  // Scores of all items; -infinity where the code is nothing to recommend. scores [items].
  virtual Status score_all(std::span<const int64_t> history, Scratch* scratch, float* scores) const = 0;
  // Codes of a candidate column, checked.
  Status candidate(const Column& c, int64_t row, int64_t* code) const;
  // The history of a row, checked; reserved codes included. Null = empty.
  Status history_of(const Column& c, int64_t row, std::span<const int64_t>* out) const;

  RuntimePtr runtime_;
  InteractionSpec names_;
  ModelInputs none_, history_input_, item_input_;
};

}  // namespace gyr
