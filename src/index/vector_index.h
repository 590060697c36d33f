// The one Index: a Store, with a Graph or Lists over it unless the kind is exact, behind a gate.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "base/bytes.h"
#include "index/gate.h"
#include "index/graph.h"
#include "index/index.h"
#include "index/lane.h"
#include "index/lists.h"
#include "index/selection.h"
#include "io/container.h"

namespace gyr::index {

// Slots that were taken for vectors and go back unless they are published by then. Of the writer.
class Taken {
 public:
  Taken(Store* store, Gate* gate, std::pmr::memory_resource* m)
      : store_(*store), gate_(*gate), slots_(Aligned<uint32_t>(m)) {}
  ~Taken() { clear(); }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  void reserve(uint64_t more) { slots_.reserve(slots_.size() + more); }
  uint32_t take() { return slots_.emplace_back(store_.take_slot()); }
  std::span<const uint32_t> slots() const { return slots_; }
  void clear();
  void keep() { slots_.clear(); }
  // Slots from here on are all taken by this: they are none any more when they go back.
  void end_at(uint64_t slots, Graph* graph) { end_ = slots, graph_ = graph; }

 private:
  Store& store_;
  Gate& gate_;
  Graph* graph_ = nullptr;
  uint64_t end_ = UINT64_MAX;
  Array<uint32_t> slots_;
};

constexpr uint64_t kHeld = 256;  // ids looked up, or vectors written, under one hold of the gate
constexpr uint32_t kMostK = 65536, kMostEffort = 1u << 20;  // of a search

class VectorIndex final : public Index {
 public:
  VectorIndex(std::shared_ptr<Runtime> runtime, const gyr_index_options& options);  // checked, defaults filled in

  Status upsert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task) override;
  std::unique_ptr<Inflow> inflow(uint64_t expected) override;
  Status remove(const int64_t* ids, uint64_t n, uint64_t* removed) override;
  Status compact(gyr_task* task) override;
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<SearchScratch>(runtime_); }
  Status search(const Query& query, Scratch* scratch, gyr_task* task, int64_t* out_ids, float* out_scores,
                uint32_t* out_counts) const override;
  Result<std::shared_ptr<const Selection>> select(const IdSpan& ids, const Test& test, gyr_task* task) const override;
  void fill_filter_info(const Selection& selection, gyr_index_filter_info* info) const override;
  Status evaluate(const Trial& trial, std::span<const uint32_t> efforts, gyr_task* task, Point* out) const override;
  Status tune(const Trial& trial, double wanted, bool keep, gyr_task* task, Point* out) override;
  void slots(const int64_t* ids, uint64_t n, int64_t* out) const override;
  bool find_id_beyond(uint64_t end, int64_t* id) const override;
  void fill_info(gyr_index_info* info) const override;
  Status save(ContainerWriter* file, std::string_view name) const override;
  // Into an empty index, from a section's bytes behind the options; in place, or of files of earlier builds.
  Status read(ByteReader* in, std::shared_ptr<const Container> file, const char* name);
  Status read_idx1(ByteReader* in, std::span<const uint8_t> section, const char* name);

 private:
  // Before the first change of an index that lies in a file: looks its content through, and lets it be written to. By
  // every writer, with no lock.
  Status settle();
  Status check_content() const;
  Status make_map(IdMap* map) const;  // of the ids that are alive
  Status take_pivots(std::span<const uint32_t> top, std::span<const uint32_t> random, const char* name);
  Status check_rows(const char* what, uint64_t first, const float* vectors, uint64_t n) const;
  Status check_batch(const int64_t* ids, const float* vectors, uint64_t n) const;

  // Room for so many slots, with some slack when arrays grow: they are copied beside readers and put in place while
  // there are none.
  void make_room(uint64_t slots);
  // No slots beyond those in use and the first `least`, and no more room than they take.
  void trim(uint64_t least);
  void move_all(uint64_t slots, bool smaller);
  template <class T>
  void move(Array<T>* array, uint64_t capacity);
  void move_bits(Array<uint64_t>* bits, uint64_t capacity);
  void move_map(uint64_t slots);
  void move_list_of(uint64_t capacity);

  // Whether so much has changed that the links are to be found anew.
  bool compaction_due() const;
  void compact_when_due(gyr_task* task);
  Status renew_graph(gyr_task* task);
  Codes code_copies(std::span<const uint32_t> members, uint64_t slots, uint64_t capacity) const;
  void adopt_renewed(uint64_t changes, std::span<const uint32_t> members, Codes* codes, Links* links);
  void place_written(const Codes& codes, std::span<const uint32_t> members, Links* links);
  void make_ready_to_note(uint64_t written);

  void make_ready(uint64_t n);
  void take_first_centre(const float* vectors, uint64_t n);
  void learn_kept_again();
  void learn_again();
  // How many of the ids are new.
  uint64_t count_new(const int64_t* ids, uint64_t n) const;
  // Room for so many more, in which what `vectors` begin with sets the first centre.
  Status admit(uint64_t fresh, const float* vectors, uint64_t n);
  // upsert() of what was checked, by the writer.
  Status insert(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task);
  void insert_group(const int64_t* ids, const float* vectors, uint32_t n);
  void insert_listed(const int64_t* ids, uint32_t n);
  Status renew_lists(bool finished, gyr_task* task);
  Status train_lists(gyr_task* task);
  uint64_t group_limit() const;
  void link_group(const int64_t* ids);  // group_, whose rows and codes are written and whose links are forgotten
  void publish(uint32_t slot, int64_t id);
  // The same for vectors that are in slots which nobody knows yet.
  Status link(std::span<const int64_t> ids, std::span<const uint32_t> at, gyr_task* task);
  Status link_at_once(std::span<const int64_t> ids, std::span<const uint32_t> at, gyr_task* task);
  // `changes`: those that the links know of.
  void take_links(uint64_t changes, Codes* codes, Links* links);
  Array<uint32_t> alive_and(std::span<const uint32_t> more) const;  // slots
  // Codes of the members with a centre and axes of their own, with room for `capacity` of `slots`; those that are the
  // vectors keep theirs. given(slot, scratch [stride]): what the slot is to hold, null = what it holds.
  Codes code_anew(std::span<const uint32_t> members, uint64_t slots, uint64_t capacity, const RowReader& given) const;
  // Inserts the vectors and finds all links anew, beside readers.
  Status rebuild(const int64_t* ids, const float* vectors, uint64_t n, gyr_task* task);
  Status check_queries(const Query& query) const;
  struct Out {
    int64_t* ids;
    float* scores;
    uint32_t* counts;
  };
  Status check_vectors(const Query& q) const;
  Status search_some(const Query& q, uint64_t begin, uint64_t end, SearchScratch* s, gyr_task* task,
                     const Out& out) const;
  void choose(const Query& q, Choice* out) const;
  void choose_ids(std::span<const int64_t> ids, const Query& q, Choice* out) const;
  Status begin(const Query& q, uint64_t number, Lane* lane, gyr_task* task) const;
  friend class Examination;  // evaluate.cpp
  friend class Staging;      // inflow.cpp
  Status read_lists(const Query& q, uint64_t effort, Lane* lane, gyr_task* task) const;
  void start(uint32_t k, uint64_t effort, uint64_t pool, Lane* lane) const;
  bool walked_enough(const Lane& lane) const;
  bool goes_on(Lane* lane) const;
  void sieve(const Codes& whole, Lane* lane) const;
  void take_in_doubt(const Ranked& found, Lane* lane) const;
  void rerank(Lane* lane) const;
  void finish(const Query& q, Lane* lane, SearchScratch* s, const Out& out) const;
  Status scan_codes(std::span<Lane*> lanes, SearchScratch* s, gyr_task* task) const;
  Status scan_codes_of(const Choice& choice, std::span<Lane*> lanes, SearchScratch* s, gyr_task* task) const;
  void tell(const Query& q, SearchScratch* s) const;
  // What a search for k takes that names no effort.
  uint64_t default_effort(uint32_t k) const;
  uint64_t code_bytes() const {
    return graph_ ? store_.codes->bytes_each(store_.codes_l2()) : lists_ ? lists_->bytes_each() : 0;
  }
  Status search_many(const Query& q, gyr_task* task, const Out& out) const;
  std::unique_ptr<SearchScratch> borrow() const;
  void give_back(std::unique_ptr<SearchScratch> s) const;

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<const Container> file_;  // in which arrays may lie
  gyr_index_options options_;
  std::mutex settling_;  // taken before all others
  std::atomic<bool> settled_{true};
  std::mutex compaction_;     // one at a time; taken before writer_
  mutable FairMutex writer_;  // one upsert at a time. Rows, codes and links are read without the gate by who holds it
  mutable Gate gate_;         // closed while the store or the links change. Deletions take nothing else
  Store store_;
  const std::shared_ptr<Selections> selections_ = std::make_shared<Selections>();
  std::optional<Graph> graph_;
  std::optional<Lists> lists_;
  Array<float> staged_;
  Array<uint32_t> group_;
  Array<uint8_t> fresh_;              // of the group: takes a slot
  std::atomic<uint64_t> changes_{0};  // upserts and deletions since all links were found; changed under the gate
  std::atomic<uint64_t> put_off_{0};  // changes_ when they could not be found anew
  uint64_t lists_put_off_ = 0;        // vectors until which lists are not renewed, as memory was short
  uint64_t builds_ = 0;               // how often they were; writer_'s from here on
  bool watched_ = false;              // a compaction is under way: it wants to know the slots written
  Array<uint32_t> written_;
  std::atomic<uint64_t> tuned_{0};  // k << 32 | effort; 0 = not yet
  mutable Touched touched_;         // since it was made
  mutable std::mutex idle_mutex_;
  mutable std::vector<std::unique_ptr<SearchScratch>> idle_;
};

// Whether so many vectors are inserted by finding all links anew.
bool found_at_once(uint64_t n, uint64_t count);
// Checks options and fills in the defaults.
Status complete_options(gyr_index_options* options);

}  // namespace gyr::index
