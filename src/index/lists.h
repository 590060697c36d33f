// An inverted file: the vectors stand in lists, as int8 codes less the centre of their list, in the order of memory. A
// search scores the lists' centres and reads the lists that promise most from front to end.
//
// Inner product: long vectors are the answers, and lists by distance or direction bury them among short ones. Lists are
// therefore made of stretched vectors: a vector that is longer than the median keeps its direction and moves outward by
// a power of its length, so that the long ones stand apart and get lists of their own, small ones. Vectors of one
// length are left as they are. A list is worth its centre's score and some deviations of its vectors from it.
//
// No locks: the writer prepares beside readers and deletions, and changes while there are none.
#pragma once

#include <optional>
#include <span>

#include "base/bytes.h"
#include "index/kmeans.h"
#include "index/scan.h"

namespace gyr::index {

// One search's memory.
struct Probe {
  explicit Probe(std::pmr::memory_resource* m)
      : query(m),
        best(m),
        scores(Aligned<float>(m)),
        dots(Aligned<int32_t>(m)),
        lists(Aligned<int64_t>(m)),
        at(Aligned<uint32_t>(m)) {}
  CodeQuery query;
  TopK best;            // ids are lists
  uint64_t scored = 0;  // codes, of centres and of what lists hold
  Array<float> scores;
  Array<int32_t> dots;
  Array<int64_t> lists;
  Array<uint32_t> at;
};

class Lists {
 public:
  static constexpr uint32_t kMost = 65536;
  Lists(std::pmr::memory_resource* memory, const Store& store, uint32_t wanted, uint64_t seed);

  // How many lists a search of an effort reads.
  uint32_t probes(uint64_t effort) const;
  // Offers what the lists hold to `found` by the scores of codes; ids are slots. `all`: every slot may be returned.
  // Where that is not so, lists count by the share of them that may. It meets `wanted` that may whenever there are so
  // many.
  void search(const float* query, uint64_t effort, const Allowed& allowed, bool all, uint64_t wanted, TopK* found,
              Probe* probe) const;

  // Room for so many slots, exactly, and for all of them in the one list there is before there is any training.
  void reserve(uint64_t slots);
  // Inserts a group of rows [n, stride]: compute() finds their lists and codes (parallel, beside readers), prepare()
  // makes room for them, add() puts member i in, which the slot holds by now, after taking what it held out.
  static uint64_t group_limit(uint32_t dim);
  void compute(Runtime* runtime, const float* rows, uint32_t n);
  void prepare(uint64_t slots);
  void add(uint32_t member, uint32_t slot);
  void remove(uint32_t slot);

  // Whether the lists were made of far fewer vectors, of far more, or mostly of others; `finished`: no more will come
  // soon. train() makes new lists of the store (parallel, beside readers and deletions), use() puts them in the old
  // ones' place, and clean_up() frees those.
  bool outgrown(bool finished) const;
  Status train(Runtime* runtime, gyr_task* task);
  void use();
  void clean_up();

  // What deletions change and searches do not read: the list of each slot.
  Array<uint32_t>& list_of() { return now_->list_of; }

  void save(ByteWriter* out) const;
  // Into a store that has its rows, while nobody reads.
  Status read(ByteReader* in, Runtime* runtime, const char* name);
  uint64_t bytes_of_codes() const;
  uint64_t bytes() const;                                              // of all else that stays
  uint64_t bytes_each() const { return stride_ + 2 * sizeof(float); }  // of what a search reads of a vector
  uint32_t wanted() const { return wanted_; }
  struct Memory {
    uint64_t codes, rest, training, group;  // the last two: besides, while vectors are inserted
  };
  // About, of lists that were made of so many vectors.
  static Memory memory_of(uint64_t slots, uint32_t dim, uint32_t wanted, uint32_t threads);
  uint32_t size() const { return uint32_t(now_->lists.size()); }

 private:
  struct List {
    explicit List(std::pmr::memory_resource* m)
        : codes(Aligned<int8_t>(m)), scale(Aligned<float>(m)), bias(Aligned<float>(m)), slots(Aligned<uint32_t>(m)) {}
    void reserve(uint64_t n, uint32_t stride);
    Array<int8_t> codes;  // [n, stride] and a block that may be read
    Array<float> scale;   // what 1 of a code stands for
    Array<float> bias;    // what of a score is neither the centre's nor the code's
    Array<uint32_t> slots;
  };
  // What vectors are divided among lists by.
  struct Stretch {
    float unit = 1, most = 1, power = 0;
  };
  struct State {
    State(std::pmr::memory_resource* m, const Store& store);
    Stretch stretch;
    Array<float> origin;   // subtracted before lengths matter: L2 only
    Centres keys;          // of stretched vectors
    Array<float> centres;  // [lists, stride]: means of the vectors themselves
    Array<float> spread;   // a dimension's deviation from the centre
    Codes order;           // of the centres
    Array<uint32_t> all;   // 0, 1, 2, ...
    std::vector<List> lists;
    Array<uint32_t> list_of;          // [slots]; kNone: in no list
    uint64_t trained = 0, since = 0;  // vectors then; put in since then
  };
  struct Note {
    float scale, bias;
  };
  static uint32_t wanted_lists(uint32_t wanted, uint64_t count);
  uint64_t read_list(const List& list, float from, float gain, const Allowed* allowed, TopK* found, Probe* probe) const;
  void rank(const float* query, bool l2, uint32_t n, Probe* probe) const;
  void learn_stretch(Points sample, State* s) const;
  void key_of(const State& s, const float* row, float* key) const;
  void place(Runtime* runtime, const State& s, std::span<const uint32_t> slots, uint32_t* out) const;
  void describe(Runtime* runtime, State* s) const;
  void take_origin(State* s) const;
  void hand_out(State* s) const;
  void open_lists(State* s) const;
  void finish_centres(State* s) const;
  void fill(Runtime* runtime, State* s) const;
  Note encode(const State& s, uint32_t list, const float* row, float* residual, int8_t* code) const;
  Status check_state(const State& s, const char* name) const;

  std::pmr::memory_resource* memory_;
  const Store& store_;
  uint32_t wanted_;
  const uint32_t stride_;  // of codes
  const uint64_t seed_;
  std::unique_ptr<State> now_, next_;
  Array<uint64_t> trained_on_;  // bits of the slots that `next_` has in lists
  // The group under insertion.
  Array<float> keys_, kept_;
  Array<uint32_t> group_;
  Array<int8_t> codes_;
  Array<Note> notes_;
};

}  // namespace gyr::index
