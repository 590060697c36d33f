// Trainers and models: see include/gyr/model.h for the contract.
#pragma once

#include <gyr/model.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/column.h"
#include "data/schema.h"
#include "exec/runtime.h"
#include "exec/task.h"
#include "io/container.h"

namespace gyr {

// What a model reads on one side, in the order in which calls pass the columns. `cardinalities` belongs to `names`: the
// number of codes a categorical column was trained with, 0 for numbers. A column of other codes is another column.
struct ModelInputs {
  std::vector<std::string> names;
  std::vector<int64_t> cardinalities;

  void add(std::string name, int64_t cardinality) {
    names.push_back(std::move(name));
    cardinalities.push_back(cardinality);
  }
};

class Model {
 public:
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                                   std::string_view name);
  virtual ~Model() = default;

  virtual const char* kind() const = 0;
  virtual uint32_t dim() const = 0;  // of the retrieval space; 0 = none
  // Columns that encode(side) needs; empty for a side it cannot encode.
  virtual const ModelInputs& encode_inputs(gyr_side side) const = 0;
  // Columns that score() needs: those of the user (one row per user) and those of the candidates (one row each).
  // Names found in neither table are context, which the pipeline offers as candidate columns ("retrieval_score", ...).
  virtual const ModelInputs& score_user_inputs() const = 0;
  virtual const ModelInputs& score_item_inputs() const = 0;

  // Reusable memory of one call at a time: after warm-up calls allocate nothing.
  class Scratch {
   public:
    virtual ~Scratch() = default;
  };
  virtual std::unique_ptr<Scratch> make_scratch() const = 0;

  // columns[i] belongs to encode_inputs(side).names[i]; out is [rows, dim].
  virtual Status encode(gyr_side side, const std::vector<const Column*>& columns, int64_t rows, Scratch* scratch,
                        float* out) const = 0;
  // One user (row user_row of the user columns) against `candidates` rows of item columns. out [candidates].
  // The user part is computed once.
  virtual Status score(const std::vector<const Column*>& user, int64_t user_row,
                       const std::vector<const Column*>& items, int64_t first_item, int64_t candidates,
                       Scratch* scratch, float* out) const = 0;

  // score() for rows that hold user and item columns side by side, found by name. out [batch.rows].
  virtual Status predict(const Batch& batch, Scratch* scratch, float* out) const;

  // Counting models and ials; see gyr_model_recommend. `out_items` 0 and NaN beyond what exists.
  virtual Status recommend(const int64_t* items, const int64_t* offsets, uint64_t n, uint32_t k, const int64_t* exclude,
                           const int64_t* exclude_offsets, int64_t* out_items, float* out_scores) const = 0;

  virtual Json describe() const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;

 protected:
  // Columns of a batch in the order of `inputs`.
  static Status bind(const Batch& batch, const ModelInputs& inputs, std::vector<const Column*>* columns);
};

class Trainer {
 public:
  static Result<std::unique_ptr<Trainer>> create(std::shared_ptr<Runtime> runtime, std::string_view spec_json,
                                                 std::string_view schema_json);
  virtual ~Trainer() = default;
  // Batches are appended; fit() trains on all of them, then drops them.
  virtual Status add_items(const Batch& batch) = 0;
  // To go back when a stream of items fails half way.
  virtual int64_t items_added() const { return 0; }
  virtual void truncate_items(int64_t rows) { (void)rows; }
  virtual Status add_rows(const Batch& batch) = 0;
  virtual void drop_rows() = 0;
  virtual Status fit(gyr_task* task) = 0;
  virtual const Json& history() const = 0;
  virtual Result<std::shared_ptr<const Model>> export_model() const = 0;
};

}  // namespace gyr
