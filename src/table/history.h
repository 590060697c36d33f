// Past versions of a table's rows, for reads as of a time. One block per entity holds all of its versions:
//   {uint32 end, uint32 place}[groups] | int64 base | uint16 shift | uint16 step[n] | uint32 place[n + 1] | versions
// Versions of group g are [end[g - 1], end[g]), sorted by (event time, created time). A version is its created time (8
// bytes) and its group's columns in RowFormat, whose first 8 bytes are its event time. A step is how far the event time
// is beyond `base`, the oldest one of the block, shifted right so that all fit in 16 bits: a search among steps ends at
// the version in force, or at one of those that share its step. A place is where a version begins, in words of 8 bytes.
// Where no column differs in size the group's first place is enough and the others are left out. So an as-of read
// touches the steps, a line of 16 versions, and the version. A block is replaced as a whole: one lookup sees one state
// of an entity.
//
// Writers call insert() and erase() under the table's lock of the same key: no lock is taken the other way round.
#pragma once

#include "store/row_store.h"
#include "table/row_format.h"
#include "table/schema.h"

namespace gyr {

class History {
 public:
  History(std::pmr::memory_resource* memory, const TableSchema& schema, KeyedRows::Hash hash);

  // One row's news. times: of each group in `take`. from[g][c]: as RowFormat::Merge's, over the group's own columns.
  struct News {
    uint32_t take;
    const int64_t* times;
    int64_t created;
    const std::vector<std::vector<const Column*>>& from;
    int64_t row;
  };
  // What became of it, a bit per group.
  struct Outcome {
    uint32_t kept = 0;    // in the history now
    uint32_t newest = 0;  // nothing newer is
    bool too_large = false;
  };
  // A version with the same two times is replaced; one that comes between others is made from the one before it.
  // prepare(outcome) is called before anything changes and may say no. Throws bad_alloc, or what prepare throws, with
  // nothing changed.
  struct Draft;
  template <class Prepare>
  Outcome insert(const KeyRef& key, const News& news, Draft* draft, Prepare&& prepare) {
    uint64_t before = 0;
    bool written = store_.upsert(key, [&](const uint8_t* old) -> KeyedRows::NewRow {
      before = arrange(old, news, draft);
      if (!prepare(draft->outcome) || !draft->outcome.kept || draft->outcome.too_large) return {};
      return write(key, news, *draft);
    });
    if (written) versions_.fetch_add(draft->entries.size() - before, std::memory_order_relaxed);
    return draft->outcome;
  }
  void erase(const KeyRef& key);

  KeyedRows& store() { return store_; }
  const KeyedRows& store() const { return store_; }
  // What a block takes of an entity with so many versions, whose rows are so large together.
  static uint64_t block_bytes(const TableSchema& schema, bool same_sizes, uint64_t versions, uint64_t row_bytes);
  static std::vector<RowFormat> formats_of(const TableSchema& schema);  // of each group's versions
  // Of group g: the format of its versions, and where a column of the table is in them.
  const RowFormat& format(uint32_t group) const { return formats_[group]; }
  size_t place(size_t column) const { return places_[column]; }
  // Asks for what a search of the block touches.
  void prefetch(const uint8_t* block) const {
    for (uint32_t b = 0; b < index_ahead_; b += 64) __builtin_prefetch(block + b);
  }
  // The same of the blocks that inserts of the keys will read.
  void prefetch(const KeyRef* keys, size_t n) const;
  uint64_t versions() const { return versions_.load(std::memory_order_relaxed); }

  // A stored entity, opened.
  class Versions {
   public:
    Versions(const History& history, const uint8_t* block)
        : history_(&history), block_(block), steps_(block + history.formats_.size() * 8 + 10) {}
    uint32_t begin(uint32_t group) const { return group ? end(group - 1) : 0; }
    uint32_t end(uint32_t group) const { return load<uint32_t>(block_ + size_t(group) * 8); }
    uint32_t count() const { return end(uint32_t(history_->formats_.size()) - 1); }
    int64_t event(uint32_t group, uint32_t i) const { return History::event(at(group, i)); }
    const uint8_t* at(uint32_t group, uint32_t i) const {
      if (!history_->same_sizes_) return block_ + uint64_t(place(i)) * 8;
      uint64_t first = load<uint32_t>(block_ + size_t(group) * 8 + 4);
      return block_ + first * 8 + (i - begin(group)) * (8 + uint64_t(history_->formats_[group].fixed_size));
    }
    uint64_t row_bytes(uint32_t group, uint32_t i) const;
    // The newest version of the time, known or not, or one after it in the same step; -1 = none. Does not touch the
    // versions. Steps depend on the number of versions alone: branches on their times would be guessed wrong half of
    // the time.
    int64_t near(uint32_t group, int64_t time) const {
      const int64_t base = load<int64_t>(steps_ - 10);
      if (time < base) return -1;
      const uint64_t beyond = (uint64_t(time) - uint64_t(base)) >> load<uint16_t>(steps_ - 2);
      const auto step = uint16_t(std::min<uint64_t>(beyond, UINT16_MAX));
      const uint32_t begin = this->begin(group);
      uint32_t first = begin, n = end(group) - begin;
      for (; n > 16; n -= n / 2) first += n / 2 & -uint32_t(this->step(first + n / 2 - 1) <= step);
      uint16_t until = 0;
      for (uint32_t i = 0; i < n; i++) until = uint16_t(until + (this->step(first + i) <= step));
      const uint32_t found = first + until;
      return found == begin ? -1 : int64_t(found) - 1;
    }
    // at() of the newest one up to i that is of the time, and created by then where `known`; null = none.
    const uint8_t* in_force(uint32_t group, int64_t i, int64_t time, bool known) const;

   private:
    uint16_t step(uint32_t i) const { return load<uint16_t>(steps_ + size_t(i) * 2); }
    uint32_t place(uint32_t i) const { return load<uint32_t>(steps_ + size_t(count()) * 2 + size_t(i) * 4); }
    const History* history_;
    const uint8_t *block_, *steps_;
  };
  Versions open(const uint8_t* block) const { return {*this, block}; }
  // Of what Versions::at() gives.
  static int64_t created(const uint8_t* version) { return load<int64_t>(version); }
  static int64_t event(const uint8_t* version) { return RowFormat::event_time(row(version)); }
  static const uint8_t* row(const uint8_t* version) { return version + 8; }

  struct Entry {
    int64_t event, created;
    const uint8_t* row;  // null: the new one
    uint64_t bytes;
  };
  // The versions of an entity as they will be; memory that a writer reuses.
  struct Draft {
    struct Fresh {
      const uint8_t* old;
      uint64_t bytes;
    };
    std::vector<Entry> entries;
    std::vector<uint32_t> ends;  // per group
    std::vector<Fresh> fresh;    // per group: what its new version is made from
    Outcome outcome;
  };

 private:
  uint64_t arrange(const uint8_t* old, const News& news, Draft* draft) const;
  void arrange(uint32_t group, const News& news, size_t begin, Draft* draft) const;
  void trim(std::vector<Entry>* entries, size_t begin) const;
  KeyedRows::NewRow write(const KeyRef& key, const News& news, const Draft& draft);

  const TableSchema& schema_;
  std::vector<RowFormat> formats_;  // per group
  const bool same_sizes_;           // of the versions of a group
  const uint32_t index_ahead_;      // how much of a block prefetch() asks for
  std::vector<size_t> places_;      // per column of the table
  std::atomic<uint64_t> versions_{0};
  KeyedRows store_;
};

}  // namespace gyr
