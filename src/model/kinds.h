// What the kinds of model share: their factories, the saved form, and the rows of user-item interactions.
#pragma once

#include <atomic>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/spec.h"
#include "model/model.h"

namespace gyr {

using RuntimePtr = std::shared_ptr<Runtime>;
using Floats = std::pmr::vector<float>;

// The saved form (docs/model.md): u32 layout version, JSON header, then arrays in the order of the kind.
class ModelWriter {
 public:
  Json header = Json::object();
  template <class V>
  void array(const V& v) {
    blobs_.put_array(v);
  }
  Status add_to(ContainerWriter* file, std::string_view name);

 private:
  ByteWriter blobs_;
};

class ModelReader {
 public:
  static Result<std::unique_ptr<ModelReader>> open(const Container& file, std::string_view name);
  const Json& header() const { return header_; }
  // Exactly `n` finite floats, or CORRUPT naming `what`.
  Status floats(const char* what, uint64_t n, Floats* out);
  template <class V>
  Status array(const char* what, uint64_t n, V* out) {
    std::span<const typename V::value_type> view;
    GYR_TRY(bytes_.get_array(&view));
    if (view.size() != n) return wrong_size(what, view.size(), n);
    out->assign(view.begin(), view.end());
    return {};
  }
  Status finish() const { return bytes_.finish(); }

 private:
  ModelReader(std::vector<uint8_t> owned) : owned_(std::move(owned)), bytes_(owned_, "model") {}
  Status wrong_size(const char* what, uint64_t got, uint64_t expected) const;
  std::vector<uint8_t> owned_;
  ByteReader bytes_;
  Json header_;
};

// A header that does not read as it should means a damaged file, not a wrong argument.
Status as_corrupt(Status s);

// Text of a row in an error: the column, and the row counted from the first row of the stream.
Status row_error(std::string_view column, int64_t row, const char* problem);

// One integer column of codes of a batch, checked against [0, cardinality) and against nulls.
Status code_column(const Batch& batch, const std::string& name, bool list, const Column** out);
Status check_code(const std::string& name, int64_t row, int64_t code, int64_t cardinality);

// parallel_for for bodies that allocate: an allocation that fails in one of them is thrown here, after all are done.
template <class Body>
void parallel(Runtime& runtime, uint64_t n, Body&& body) {
  std::atomic<int> failed{0};
  runtime.parallel_for(n, [&](uint64_t i) {
    try {
      body(i);
    } catch (const BudgetExceeded&) {
      failed = 2;
    } catch (const std::bad_alloc&) {
      failed = 1;
    }
  });
  if (failed == 2) throw BudgetExceeded();
  if (failed == 1) throw std::bad_alloc();
}

using TrainerResult = Result<std::unique_ptr<Trainer>>;
using ModelResult = Result<std::shared_ptr<const Model>>;

TrainerResult make_popularity(RuntimePtr runtime, SpecReader& spec, const Schema& schema);
TrainerResult make_item_knn(RuntimePtr runtime, SpecReader& spec, const Schema& schema);
TrainerResult make_ials(RuntimePtr runtime, SpecReader& spec, const Schema& schema);
TrainerResult make_two_tower(RuntimePtr runtime, SpecReader& spec, const Schema& schema);
TrainerResult make_dlrm(RuntimePtr runtime, SpecReader& spec, const Schema& schema);

ModelResult load_popularity(RuntimePtr runtime, ModelReader& file);
ModelResult load_item_knn(RuntimePtr runtime, ModelReader& file);
ModelResult load_ials(RuntimePtr runtime, ModelReader& file);
ModelResult load_two_tower(RuntimePtr runtime, ModelReader& file);
ModelResult load_dlrm(RuntimePtr runtime, ModelReader& file);

}  // namespace gyr
