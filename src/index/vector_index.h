// The one Index: a Store, with a Graph over it unless the kind is exact, behind a reader/writer lock.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "index/graph.h"
#include "index/index.h"

namespace gyr::index {

// A shared mutex whose writers are not starved: while one waits, new readers queue behind it.
class Gate {
 public:
  void lock() {
    waiting_.fetch_add(1);
    turn_.lock();
    mutex_.lock();
    turn_.unlock();
    waiting_.fetch_sub(1);
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    if (waiting_.load(std::memory_order_relaxed)) std::lock_guard turn(turn_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
  std::mutex turn_;
  std::atomic<int> waiting_{0};
};

struct SearchScratch final : Index::Scratch {
  explicit SearchScratch(std::shared_ptr<Runtime> r)
      : runtime(std::move(r)),
        query(Aligned<float>(runtime->memory())),
        top(runtime->memory()),
        excluded(runtime->memory()),
        walk(runtime->memory()) {}
  std::shared_ptr<Runtime> runtime;
  Array<float> query;
  TopK top;
  Marks excluded;
  WalkScratch walk;
};

class VectorIndex final : public Index {
 public:
  VectorIndex(std::shared_ptr<Runtime> runtime, const gyr_index_options& options);  // checked, defaults filled in

  Status upsert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) override;
  Status remove(const int64_t* ids, uint64_t n, uint64_t* removed) override;
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<SearchScratch>(runtime_); }
  Status search(const Query& query, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                uint32_t* out_counts) const override;
  void slots(const int64_t* ids, uint64_t n, int64_t* out) const override;
  bool find_id_beyond(uint64_t end, int64_t* id) const override;
  void fill_info(gyr_index_info* info) const override;
  Status save(ContainerWriter* file, std::string_view name) const override;
  Status read(std::span<const uint8_t> bytes, const char* name);  // into an empty index

 private:
  Status check_batch(const int64_t* ids, const float* vectors, uint64_t n) const;
  void insert_group(const int64_t* ids, const float* vectors, uint32_t n);
  Status check_queries(const Query& query) const;
  Status check_vectors(const Query& q, SearchScratch* s) const;
  Status search_one(const Query& query, uint64_t number, SearchScratch* s, gyr_task* task, int64_t* out_ids,
                    float* out_scores, uint32_t* out_count) const;
  Status search_many(const Query& query, gyr_task* task, int64_t* out_ids, float* out_scores,
                     uint32_t* out_counts) const;
  std::unique_ptr<SearchScratch> borrow() const;
  void give_back(std::unique_ptr<SearchScratch> s) const;

  std::shared_ptr<Runtime> runtime_;
  gyr_index_options options_;
  std::mutex writer_;  // one upsert or delete at a time; it may read without the gate
  mutable Gate gate_;  // exclusive while the store or the links change
  Store store_;
  std::optional<Graph> graph_;
  Array<float> staged_;
  Array<uint32_t> group_;
  mutable std::mutex idle_mutex_;
  mutable std::vector<std::unique_ptr<SearchScratch>> idle_;
};

// Checks options and fills in the defaults.
Status complete_options(gyr_index_options* options);

}  // namespace gyr::index
