// Nearest-neighbour search: see include/gyr/index.h for the contract.
#pragma once

#include <gyr/index.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
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
  // A section of a container is loaded once: the index uses the container's pages, and writes into its own view of
  // them.
  static Result<std::shared_ptr<Index>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                             std::string_view name);
  struct Estimate {
    uint64_t bytes, peak;
  };
  static Result<Estimate> estimate(const gyr_index_options& options, uint64_t n, uint32_t threads);
  virtual ~Index() = default;

  virtual Status upsert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) = 0;
  // upsert() in parts, for streams; an id may come again in another part. What is new to a graph is taken in by
  // append() and becomes searchable by finish(), which links all of it at once; without that it goes again. The rest is
  // inserted by append() already. Does not outlive the index.
  class Inflow {
   public:
    virtual ~Inflow() = default;
    // Of rows as they come, number `first` of `what` and those after it. append() takes what has passed, each id once.
    virtual Status check(const char* what, uint64_t first, const float* vectors, uint64_t n) const = 0;
    virtual Status append(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) = 0;
    virtual Status finish(gyr_task* task) = 0;
  };
  virtual std::unique_ptr<Inflow> inflow(uint64_t expected) = 0;  // 0 = not known
  virtual Status remove(const int64_t* ids, uint64_t n, uint64_t* removed) = 0;
  virtual Status compact(gyr_task* task) = 0;

  // Ids that searches may return, prepared once; the index takes out what it deletes.
  class Selection {
   public:
    virtual ~Selection() = default;
  };
  using IdSpan = std::optional<std::span<const int64_t>>;
  // keep[i] = 0 for ids that do not pass. Runs beside writers.
  using Test = std::function<Status(std::span<const int64_t> ids, uint8_t* keep)>;
  // Those of `ids`, or of all there are, that pass the test; it may be empty.
  virtual Result<std::shared_ptr<const Selection>> select(const IdSpan& ids, const Test& test,
                                                          gyr_task* task) const = 0;
  virtual void fill_filter_info(const Selection& selection, gyr_index_filter_info* info) const = 0;

  struct Touched;
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
    const Selection* selection = nullptr;       // of this index
    bool listed = false;                        // only allowed_ids are returned
    std::span<const int64_t> allowed_ids{};
    const int64_t* allowed_offsets =
        nullptr;                 // [n + 1], each query's share of them; null = all of them are every one's
    Touched* touched = nullptr;  // what it reads is added to it
  };
  struct Touched {
    std::atomic<uint64_t> codes{0}, rows{0};
  };
  // Reusable memory of one search at a time; with it a single-query search allocates nothing after a like one.
  class Scratch {
   public:
    virtual ~Scratch() = default;
  };
  virtual std::unique_ptr<Scratch> make_scratch() const = 0;
  // Score descending, then id ascending. `scratch` null: the index uses its own pool and may spread over threads.
  virtual Status search(const Query& query, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                        uint32_t* out_counts) const = 0;

  // Recall against exact search. queries: null = n of the index's own vectors, each searched without itself.
  struct Trial {
    uint32_t k;
    const float* queries;
    uint64_t n;
    const Selection* selection = nullptr;
  };
  struct Point {
    uint32_t effort;
    double recall, seconds, codes, rows, bytes;  // means over the queries
  };
  virtual Status evaluate(const Trial& trial, std::span<const uint32_t> efforts, gyr_task* task, Point* out) const = 0;
  // The smallest effort with the wanted recall, about; keep: also that of searches which name none.
  virtual Status tune(const Trial& trial, double wanted, bool keep, gyr_task* task, Point* out) = 0;

  virtual void slots(const int64_t* ids, uint64_t n, int64_t* out) const = 0;
  // Whether a live vector has an id outside of [0, end), and one such id: ids may have to be positions in a list.
  virtual bool find_id_beyond(uint64_t end, int64_t* id) const = 0;
  virtual void fill_info(gyr_index_info* info) const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;
};

}  // namespace gyr
