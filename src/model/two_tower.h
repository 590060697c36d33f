// two_tower: the shape that training and serving share, and the trainer (a header so that tests can check gradients).
#pragma once

#include "model/network.h"

namespace gyr {

// Each tower: mean-pooled embeddings and numbers side by side in schema order -> relu layers -> dim.
struct TowerShape {
  FeatureSet user, item;  // context columns belong to the user's side; the tables of both are the same list
  size_t dim = 0, embedding_dim = 0;
  std::vector<int64_t> user_widths, item_widths;  // hidden layers
  Mlp user_mlp, item_mlp;
  bool l2_normalize = false, item_bias = false;
  double temperature = 1;
  std::string item_name;  // id column
  int64_t items = 0;
  size_t dense_size = 0;

  Status derive();
  size_t width(const FeatureSet& set) const;
  size_t out_dim() const { return dim + (item_bias ? 1 : 0); }
  std::vector<TableShape> tables() const;  // the last one holds the item biases when there are any
  void write(Json* header) const;
  static Status read_header(const Json& header, TowerShape* out);
};

struct TowerSpec {
  TowerShape shape;
  TrainOptions options;
  double logq = 1;  // strength of the correction; 0 = off
  static Status read(SpecReader& spec, const Schema& schema, TowerSpec* out);
};

// Logit of row i and the item of row j: u_i . v_j / temperature + bias_j - logq * ln q_j, where q_j is the chance of
// item j per draw (Yi et al. 2019). Other rows with row i's own item are masked. Loss: -ln softmax_i(i), mean over
// rows. grad [n, n] receives d(loss)/d(logit) for the rows [first, first + m) of it; returns the sum of their losses.
double in_batch_softmax(const float* logits, size_t n, size_t first, size_t m, const int32_t* items,
                        const float* log_q_times_strength, float* grad);

class TowerTrainer : public NetworkTrainer {
 public:
  TowerTrainer(RuntimePtr runtime, TowerSpec spec);
  Status add_items(const Batch&) override { return {}; }
  Status add_rows(const Batch& batch) override;
  void drop_rows() override;
  Result<std::shared_ptr<const Model>> export_model() const override;

 protected:
  int64_t rows() const override { return user_rows_.rows(); }
  float row_weight(size_t row) const override { return row_weights_[row]; }
  Status prepare(std::span<const double> probability) override;
  Result<double> gradients(std::span<const uint32_t> batch, uint64_t step) override;

 private:
  // One tower's buffers for the whole batch, chunk after chunk.
  struct Side {
    const RowStore* rows;
    const Mlp* mlp;
    Floats x, acts, vectors, norms, dvectors, dx;
    Side(const RowStore* r, const Mlp* m, std::pmr::memory_resource* memory)
        : rows(r), mlp(m), x(memory), acts(memory), vectors(memory), norms(memory), dvectors(memory), dx(memory) {}
  };
  void forward(Side* side, std::span<const uint32_t> batch, size_t chunk);
  void backward(Side* side, size_t n, size_t chunk);
  void scatter(size_t table, std::span<const uint32_t> batch);

  TowerSpec spec_;
  RowStore user_rows_, item_rows_;
  std::pmr::vector<int32_t> item_codes_;
  Floats row_weights_, log_q_;
  Side user_, item_;
  Floats logits_, dlogits_, chunk_gradients_, dbias_;
};

}  // namespace gyr
