// dlrm: the shape that training and serving share, and the trainer (a header so that tests can check its gradients).
#pragma once

#include "model/network.h"

namespace gyr {

// Naumov et al. 2019. Vector 0 is the bottom layers' output (when there are dense inputs), then one vector per coded
// feature in schema order. Top input: [bottom output | strict upper triangle of the Gram matrix, row-major].
struct DlrmShape {
  FeatureSet set;
  size_t dim = 0;
  uint32_t dense = 0, vectors = 0;
  std::vector<int64_t> bottom_widths, top_widths;  // without the closing width 1
  Mlp bottom, top;
  size_t dense_size = 0;  // floats of all layers

  Status derive();  // everything below `set`, from the widths
  size_t first_coded() const { return dense ? 1 : 0; }
  size_t pairs() const { return size_t(vectors) * (vectors - (vectors ? 1 : 0)) / 2; }
  size_t top_in() const { return (dense ? dim : 0) + pairs(); }
  std::vector<TableShape> tables() const;
  void write(Json* header) const;
  static Status read_header(const Json& header, DlrmShape* out);
};

struct DlrmSpec {
  DlrmShape shape;
  TrainOptions options;
  std::string label;      // or negatives:
  int64_t negatives = 0;  // per positive
  bool by_popularity = false;
  std::string item, exclude;  // item id column; optional list column of codes never drawn
  int64_t items = 0;
  static Status read(SpecReader& spec, const Schema& schema, DlrmSpec* out);
};

class DlrmTrainer : public NetworkTrainer {
 public:
  DlrmTrainer(RuntimePtr runtime, DlrmSpec spec);
  Status add_items(const Batch& batch) override;
  int64_t items_added() const override { return catalogue_.rows(); }
  void truncate_items(int64_t rows) override;
  Status add_rows(const Batch& batch) override;
  void drop_rows() override;
  Result<std::shared_ptr<const Model>> export_model() const override;

 protected:
  int64_t rows() const override { return store_.rows(); }
  float row_weight(size_t row) const override { return row_weights_[row]; }
  Status prepare(std::span<const double> probability) override;
  Result<double> gradients(std::span<const uint32_t> batch, uint64_t step) override;

 private:
  struct Example {
    uint32_t row;
    int32_t item;  // catalogue row, or -1 for the row's own item
    float label;
  };
  struct Chunk {
    Floats buffer;
    double loss = 0;
  };
  void draw_examples(std::span<const uint32_t> batch, uint64_t step);
  bool drawable(uint32_t row, int32_t code) const;
  void run_chunk(size_t chunk);
  void scatter(size_t table);
  std::span<const int32_t> codes_of(size_t feature, const Example& e) const;
  float value_of(size_t feature, const Example& e) const;

  DlrmSpec spec_;
  RowStore store_, catalogue_;
  std::vector<int32_t> catalogue_column_;  // per feature: its place in the catalogue, -1 when not of the item side
  std::pmr::vector<int32_t> catalogue_codes_, item_codes_;
  Floats labels_, row_weights_;
  FeatureRows excluded_;
  std::vector<double> popularity_;  // cumulative over catalogue rows
  std::pmr::vector<Example> examples_;
  std::vector<Chunk> chunks_;
  Floats chunk_gradients_, dvectors_;
};

}  // namespace gyr
