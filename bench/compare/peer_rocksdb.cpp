#include "common.h"

#ifdef HAVE_ROCKSDB
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <cstring>

namespace compare {
namespace {

// Everything in the block cache, or with `cold` 64 MiB of it and direct reads: bloom filter, hash index in the blocks,
// no compression, no log.
class Rocks final : public RowPeer {
 public:
  explicit Rocks(const RowSet& rows, bool cold) : dim_(rows.dim), cold_(cold) {
    path_ = new_folder();
    if (path_.empty()) return;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache =
        rocksdb::NewLRUCache(cold ? size_t(64) << 20 : size_t(rows.n) * (dim_ * 4 + 64) + (size_t(1) << 28), 0);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
    table.cache_index_and_filter_blocks = false;
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;
    options.use_direct_reads = true;  // not a second copy in the page cache
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    check(rocksdb::DB::Open(options, path_ + "/db", &db_));
    load(rows, options);
    if (!cold) read_all(rows);
    sorted_ = {};
  }
  ~Rocks() override {
    delete db_;
    if (path_.empty()) return;
    rocksdb::DestroyDB(path_ + "/db", {});
    rmdir(path_.c_str());
  }
  void gather(const int64_t* keys, size_t n, float* out) override { gather_all(keys, n, out); }

 private:
  static void check(const rocksdb::Status& s) {
    if (s.ok()) return;
    say("rocksdb: %s", s.ToString().c_str());
    std::exit(1);
  }
  static rocksdb::Slice slice(const int64_t& key) { return {reinterpret_cast<const char*>(&key), sizeof key}; }

  // One sorted file, ingested: the shape after a full compaction.
  void load(const RowSet& rows, const rocksdb::Options& options) {
    sorted_.resize(rows.n);
    for (uint64_t i = 0; i < rows.n; i++) sorted_[i] = {RowSet::key(i), i};
    std::sort(sorted_.begin(), sorted_.end(), [](auto& a, auto& b) { return std::memcmp(&a.first, &b.first, 8) < 0; });
    std::vector<float> row(dim_);
    std::vector<std::string> files;
    for (uint64_t begin = 0; begin < rows.n; begin += 250'000) {
      rocksdb::SstFileWriter file({}, options);
      files.push_back(path_ + "/" + std::to_string(begin) + ".sst");
      check(file.Open(files.back()));
      for (uint64_t i = begin; i < std::min(rows.n, begin + 250'000); i++) {
        rows.fill(sorted_[i].second, row.data());
        check(file.Put(slice(sorted_[i].first), {reinterpret_cast<char*>(row.data()), dim_ * sizeof(float)}));
      }
      check(file.Finish());
    }
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    check(db_->IngestExternalFile(files, ingest));
  }

  // Everything once, into the cache.
  void read_all(const RowSet& rows) {
    std::vector<float> out(1000 * dim_);
    std::vector<int64_t> keys(1000);
    for (uint64_t i = 0; i < rows.n; i += keys.size()) {
      for (size_t k = 0; k < keys.size(); k++) keys[k] = sorted_[(i + k) % rows.n].first;
      gather_all(keys.data(), keys.size(), out.data());
    }
  }

  void gather_all(const int64_t* keys, size_t n, float* out) {
    keys_.clear();
    for (size_t i = 0; i < n; i++) keys_.push_back(slice(keys[i]));
    values_.resize(n), statuses_.resize(n);
    rocksdb::ReadOptions read;
    read.verify_checksums = false;
    read.async_io = cold_;
    db_->MultiGet(read, db_->DefaultColumnFamily(), n, keys_.data(), values_.data(), statuses_.data());
    for (size_t i = 0; i < n; i++) {
      if (!statuses_[i].ok() || values_[i].size() != dim_ * sizeof(float)) std::abort();
      std::memcpy(out + i * dim_, values_[i].data(), dim_ * sizeof(float));
      values_[i].Reset();
    }
  }

  const uint32_t dim_;
  const bool cold_;
  std::string path_;
  rocksdb::DB* db_ = nullptr;
  std::vector<std::pair<int64_t, uint64_t>> sorted_;
  std::vector<rocksdb::Slice> keys_;
  std::vector<rocksdb::PinnableSlice> values_;
  std::vector<rocksdb::Status> statuses_;
};

}  // namespace

std::unique_ptr<RowPeer> make_rocksdb(const RowSet& rows, bool cold) {
  pin(-1);  // its own threads are not on the caller's core only
  auto peer = std::make_unique<Rocks>(rows, cold);
  pin(0);
  return peer;
}

}  // namespace compare
#else
namespace compare {
std::unique_ptr<RowPeer> make_rocksdb(const RowSet&, bool) {
  say("peer rocksdb is not there: install librocksdb-dev and configure again; skipped");
  return nullptr;
}
}  // namespace compare
#endif
