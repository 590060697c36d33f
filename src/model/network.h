// The training loop that two_tower and dlrm share: weights, optimizer state, batches drawn by a seed, cancel, progress,
// the NaN guard, and the return to the last finished epoch.
#pragma once

#include <span>

#include "model/features.h"
#include "model/layers.h"

namespace gyr {

struct TrainOptions {
  int64_t epochs = 5, batch = 512, seed = 1;
  Optimizer optimizer;
  bool drop_last = true;      // a smaller batch at the end of an epoch is left out
  double init_stddev = 0.05;  // of the embeddings
  double decay_rows = 0;      // > 0: rows are drawn with weight exp(-age in rows / decay_rows)
  std::string weight_column;  // or with the weight of this column; drawing is with replacement then
  Status read(SpecReader& spec);
};

struct TableShape {
  int64_t rows;
  size_t dim;
};

// Weights, and arrays of the same shape for the optimizer and for gradients.
struct Weights {
  Floats dense;
  std::vector<Floats> tables;
  explicit Weights(std::pmr::memory_resource* m) : dense(m) {}
  void shape(const std::vector<TableShape>& shapes, size_t dense_size, std::pmr::memory_resource* m);
  void initialise_tables(uint64_t seed, double stddev);
  void copy_from(const Weights& other);
  bool finite() const;
  void save(ModelWriter* file) const;
  Status load(ModelReader& file, const std::vector<TableShape>& shapes, size_t dense_size);
};

class NetworkTrainer : public Trainer {
 public:
  Status fit(gyr_task* task) final;
  const Json& history() const final { return history_; }

 protected:
  NetworkTrainer(RuntimePtr runtime, TrainOptions options);
  // Called by the kinds once their shapes are known.
  void build(const std::vector<TableShape>& tables, size_t dense_size);

  virtual int64_t rows() const = 0;
  // Draw weight of a row, already checked; only asked when options_.weight_column is set.
  virtual float row_weight(size_t row) const = 0;
  // Before the epochs: what depends on all rows. probability [rows]: chance of each row per draw.
  virtual Status prepare(std::span<const double> probability) = 0;
  // Gradients of one batch into gradients_ and row_gradients_; returns the batch's mean loss.
  virtual Result<double> gradients(std::span<const uint32_t> batch, uint64_t step) = 0;

  // Adds the chunks' layer gradients [chunks, dense] in order, which makes the sum independent of the threads.
  void sum_chunks(const Floats& chunk_gradients, size_t chunks);

  RuntimePtr runtime_;
  TrainOptions options_;
  Weights weights_;
  Floats gradients_;
  std::vector<RowGradients> row_gradients_;  // one per table
  bool fitted_ = false;

 private:
  void apply();
  std::vector<double> probabilities() const;
  Status run_epoch(int64_t epoch, gyr_task* task, std::span<const double> cumulative, double* loss);

  Weights m_, v_;
  Json history_ = Json::array();
};

// What a random stream is for; added to the number of the epoch, table or step.
constexpr uint64_t kLayerStream = 1ull << 40, kTableStream = 2ull << 40, kEpochStream = 3ull << 40,
                   kNegativeStream = 4ull << 40;

constexpr size_t kChunk = 64;  // rows whose gradients are computed together; fixed, so results do not depend on threads

}  // namespace gyr
