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

// One query under way.
struct Lane {
  explicit Lane(std::pmr::memory_resource* m)
      : query(Aligned<float>(m)),
        kept_query(m),
        excluded(m),
        walk(m),
        found(m),
        top(m),
        reranked(Aligned<uint32_t>(m)),
        scores(Aligned<float>(m)) {}
  Array<float> query;
  VectorQuery kept_query;
  Marks excluded;
  Allowed allowed{};
  Walk walk;
  bool restricted = false;  // some slots that are alive may not be returned
  TopK found;               // then: the best by codes that may; ids are slots
  TopK top;
  Array<uint32_t> reranked;
  Array<float> scores;
  uint64_t number = 0, wanted = 0, most = 0;  // most: rows that are scored again
};

struct SearchScratch final : Index::Scratch {
  // Walks that fill each other's waiting for memory; one alone when there is one query.
  static constexpr uint32_t kLanes = 4;
  explicit SearchScratch(std::shared_ptr<Runtime> r) : runtime(std::move(r)) {
    for (auto& lane : lanes) lane.emplace(runtime->memory());
  }
  std::shared_ptr<Runtime> runtime;
  std::optional<Lane> lanes[kLanes];
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
  void make_room(uint64_t slots);
  void make_ready(uint64_t n);
  void take_first_centre(const float* vectors, uint64_t n);
  void learn_again();
  void insert_group(const int64_t* ids, const float* vectors, uint32_t n);
  // Codes with a centre and axes of their own for these slots; those that are the vectors keep theirs. given(slot,
  // scratch [stride]): what the slot is to hold, null = what it holds.
  Codes code_anew(std::span<const uint32_t> slots, const RowReader& given) const;
  // Inserts the vectors and finds all links anew, beside readers.
  Status rebuild(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task);
  Status check_queries(const Query& query) const;
  struct Out {
    int64_t* ids;
    float* scores;
    uint32_t* counts;
  };
  Status check_vectors(const Query& q, SearchScratch* s) const;
  Status search_some(const Query& q, uint64_t begin, uint64_t end, SearchScratch* s, gyr_task* task,
                     const Out& out) const;
  Status begin(const Query& q, uint64_t number, Lane* lane, gyr_task* task, bool* walks) const;
  Status finish(const Query& q, Lane* lane, gyr_task* task, bool walked, const Out& out) const;
  void rerank(Lane* lane) const;
  Status search_many(const Query& q, gyr_task* task, const Out& out) const;
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

// Whether so many vectors are inserted by finding all links anew.
bool found_at_once(uint64_t n, uint64_t count);
// Checks options and fills in the defaults.
Status complete_options(gyr_index_options* options);

}  // namespace gyr::index
