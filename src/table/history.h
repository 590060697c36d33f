// Past versions of a table's rows, for reads as of a time. One block per entity holds all of its versions:
//   uint32 ends[groups], padded to 8 | int64 event time[n] | int64 created time[n] | uint32 place[n + 1], padded | rows
// Versions of group g are [ends[g - 1], ends[g]), sorted by (event time, created time); place counts words of 8 bytes
// from the block's start. A version's row has its group's columns only, in RowFormat. A block is replaced as a whole,
// so one lookup sees one state of an entity.
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
  static uint64_t block_bytes(const TableSchema& schema, uint64_t versions, uint64_t row_bytes);
  static std::vector<RowFormat> formats_of(const TableSchema& schema);  // of each group's versions
  // Of group g: the format of its versions, and where a column of the table is in them.
  const RowFormat& format(uint32_t group) const { return formats_[group]; }
  size_t place(size_t column) const { return places_[column]; }
  uint64_t versions() const { return versions_.load(std::memory_order_relaxed); }

  // A stored entity, opened.
  class Versions {
   public:
    Versions(const uint8_t* block, size_t groups);
    uint32_t begin(uint32_t group) const { return group ? end(group - 1) : 0; }
    uint32_t end(uint32_t group) const { return load<uint32_t>(block_ + size_t(group) * 4); }
    int64_t event(uint32_t i) const { return load<int64_t>(events_ + size_t(i) * 8); }
    int64_t created(uint32_t i) const { return load<int64_t>(events_ + (size_t(n_) + i) * 8); }
    const uint8_t* row(uint32_t i) const { return block_ + uint64_t(place(i)) * 8; }
    uint64_t row_bytes(uint32_t i) const { return uint64_t(place(i + 1) - place(i)) * 8; }
    // The version in force at `time`, or -1. known: only what was created by then.
    int64_t as_of(uint32_t group, int64_t time, bool known) const;

   private:
    uint32_t place(uint32_t i) const { return load<uint32_t>(events_ + size_t(n_) * 16 + size_t(i) * 4); }
    const uint8_t *block_, *events_;
    uint32_t n_;
  };
  Versions open(const uint8_t* block) const { return {block, formats_.size()}; }

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
  std::vector<size_t> places_;      // per column of the table
  std::atomic<uint64_t> versions_{0};
  KeyedRows store_;
};

}  // namespace gyr
