// Nearest-neighbour search: see include/gyr/index.h for the contract.
#pragma once

#include <gyr/index.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "exec/runtime.h"
#include "exec/task.h"
#include "io/container.h"

namespace gyr {

class Index {
 public:
  static Result<std::shared_ptr<Index>> create(std::shared_ptr<Runtime> runtime, const gyr_index_options& options);
  static Result<std::shared_ptr<Index>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                             std::string_view name);
  struct Estimate {
    uint64_t bytes, peak;
  };
  static Result<Estimate> estimate(const gyr_index_options& options, uint64_t n, uint32_t threads);
  virtual ~Index() = default;

  virtual Status upsert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) = 0;
  virtual Status remove(const int64_t* ids, uint64_t n, uint64_t* removed) = 0;

  struct Query {
    const float* queries;  // [n, dim]
    uint64_t n;
    uint32_t k;
    uint32_t effort = 0;  // 0 = default
    bool exact = false;
    const uint64_t* filter = nullptr;  // bitmap over slots
    uint64_t filter_bits = 0;
    const int64_t* excluded = nullptr;          // ids never returned (the seen filter), [excluded_offsets[n]]
    const int64_t* excluded_offsets = nullptr;  // [n + 1]; null = none
  };
  // Reusable memory of one search at a time; with it a single-query search allocates nothing after warm-up.
  class Scratch {
   public:
    virtual ~Scratch() = default;
  };
  virtual std::unique_ptr<Scratch> make_scratch() const = 0;
  // Score descending, then id ascending. `scratch` null: the index uses its own pool and may spread over threads.
  virtual Status search(const Query& query, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                        uint32_t* out_counts) const = 0;
  virtual void slots(const int64_t* ids, uint64_t n, int64_t* out) const = 0;
  // Whether a live vector has an id outside of [0, end), and one such id: ids may have to be positions in a list.
  virtual bool find_id_beyond(uint64_t end, int64_t* id) const = 0;
  virtual void fill_info(gyr_index_info* info) const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;
};

}  // namespace gyr
