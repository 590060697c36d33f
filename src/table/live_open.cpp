// Making and recovering the table of a folder: the snapshot, then the log from there on.
#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "table/live_table.h"

namespace gyr {
namespace {

constexpr const char* kLock = "lock";
constexpr uint64_t kCopyPiece = 256 << 10;

std::string type_of(const Field& f) { return (f.is_list ? "list of " : "") + std::string(dtype_name(f.dtype)); }

// A schema without its columns and its memory budget.
Json rest_of(TableSchema schema) {
  schema.columns.clear();
  schema.group_of.clear();
  schema.memory_budget = 0;
  return schema.to_json();
}

// What the caller's schema may change: columns more, in any order.
Result<TableSchema> grow_schema(const TableSchema& stored, const char* json) {
  GYR_ASSIGN(TableSchema wanted, TableSchema::parse(json));
  for (size_t c = 0; c < stored.columns.size(); c++) {
    const Field& old = stored.columns[c];
    auto at = std::find_if(wanted.columns.begin(), wanted.columns.end(), [&](auto& f) { return f.name == old.name; });
    if (at == wanted.columns.end())
      return fail(GYR_E_INVALID_ARGUMENT, "table",
                  "column \"%.100s\" (%s) is in the folder and not in the schema; columns cannot be dropped",
                  old.name.c_str(), type_of(old).c_str());
    if (type_of(*at) != type_of(old))
      return fail(GYR_E_INVALID_ARGUMENT, "table",
                  "column \"%.100s\" is %s in the folder, %s in the schema; types cannot change, name a new column",
                  old.name.c_str(), type_of(old).c_str(), type_of(*at).c_str());
    const uint32_t group = wanted.group_of[size_t(at - wanted.columns.begin())];
    if (wanted.groups[group].name != stored.groups[stored.group_of[c]].name)
      return fail(GYR_E_INVALID_ARGUMENT, "table",
                  "column \"%.100s\" is in another view in the folder; name a new column", old.name.c_str());
  }
  // Nothing else may differ but the columns, and how much memory they may take.
  Json have = rest_of(stored), want = rest_of(wanted);
  auto text = [](const Json& in, const std::string& key) {
    const Json* value = in.find(key);
    return value ? value->dump() : "absent";
  };
  for (const Json* one : {&have, &want})
    for (auto& member : one->members())
      if (text(have, member.key) != text(want, member.key))
        return fail(GYR_E_INVALID_ARGUMENT, "table",
                    "%s is %.100s in the folder, %.100s in the schema; use another folder", member.key.c_str(),
                    text(have, member.key).c_str(), text(want, member.key).c_str());
  return wanted;
}

uint64_t new_table_id() { return mix64(mix64(uint64_t(realtime_us())) ^ uint64_t(monotonic_ns())); }

}  // namespace

Result<std::shared_ptr<Table>> Table::open_live(std::shared_ptr<Runtime> runtime, std::string folder,
                                                const char* schema_json, const LiveOptions& options, gyr_task* task) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (schema_json) {
    GYR_ASSIGN(auto parsed, TableSchema::parse(schema_json));  // before there is a folder
    GYR_TRY(make_folder(folder));
  } else if (!folder.empty()) {
    auto there = File::open_read(folder + "/" + LiveTable::kSnapshot);
    if (!there.ok()) return std::move(there.status());
  }
  if (folder.empty()) return fail(GYR_E_INVALID_ARGUMENT, "table", "the folder's path is empty");
  auto lock = File::lock(folder + "/" + kLock);
  if (!lock.ok()) return std::move(lock.status());
  auto live = std::make_unique<LiveTable>(runtime, std::move(folder), std::move(*lock));
  std::shared_ptr<TableImpl> table;
  GYR_TRY(live->start(schema_json, options, task, &table));
  table->set_live(std::move(live));
  return std::shared_ptr<Table>(std::move(table));
}

Status LiveTable::start(const char* schema_json, const LiveOptions& options, gyr_task* task,
                        std::shared_ptr<TableImpl>* table) {
  options_ = options;
  GYR_ASSIGN(auto names, list_folder(folder_));
  Segments found;
  for (auto& name : names)
    if (uint64_t first; parse_segment_name(name, &first)) found.push_back({first, 0, 0});
  std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.first_lsn < b.first_lsn; });
  bool exists = std::find(names.begin(), names.end(), kSnapshot) != names.end();
  if (!exists && !found.empty())
    return fail(GYR_E_CORRUPT, "table", "'%s' has a log but no %s; restore the folder from a good copy",
                folder_.c_str(), kSnapshot);
  GYR_TRY(exists ? recover(schema_json, std::move(found), task, table) : create(schema_json, table));
  if (options.durability == GYR_DURABILITY_NONE) return {};
  GYR_ASSIGN(log_, TableLog::start({folder_, table_id_, recovered_lsn_, options.durability == GYR_DURABILITY_SYNC,
                                    options.flush_ns, options.segment_bytes, options.queue_bytes, segments_}));
  return {};
}

Status LiveTable::create(const char* schema_json, std::shared_ptr<TableImpl>* table) {
  if (!schema_json)
    return fail(GYR_E_NOT_FOUND, "table", "'%s' holds no table; give a schema to make one", folder_.c_str());
  GYR_ASSIGN(TableSchema schema, TableSchema::parse(schema_json));
  GYR_ASSIGN(*table, TableImpl::make(runtime_, std::move(schema)));
  table_id_ = new_table_id();
  // The folder may be new itself. Who may not read what is around it made it by other means.
  Status named = sync_folder(folder_of(folder_), folder_);
  if (!named.ok() && (!named.info() || named.info()->os_errno != EACCES)) return named;
  return save_snapshot(**table, 0, nullptr);
}

Status LiveTable::recover(const char* schema_json, Segments found, gyr_task* task, std::shared_ptr<TableImpl>* table) {
  std::string snapshot = path(kSnapshot);
  GYR_ASSIGN(auto file, Container::open(snapshot, Container::Access::kRead));
  auto log = file->read("log", "TLG1");
  if (!log.ok()) return std::move(log.status()).at(snapshot.c_str());
  ByteReader in(*log, "log");
  uint64_t lsn = 0;
  GYR_TRY(in.get(&table_id_).in_file(snapshot.c_str()));
  GYR_TRY(in.get(&lsn).in_file(snapshot.c_str()));
  GYR_TRY(in.finish().in_file(snapshot.c_str()));
  TableImpl::Grow grow;
  Status refused;  // a mistake of the caller's, not of the file
  if (schema_json)
    grow = [&](const TableSchema& stored) -> Result<TableSchema> {
      auto grown = grow_schema(stored, schema_json);
      if (grown.ok()) return grown;
      refused = std::move(grown.status());
      return fail(GYR_E_INVALID_ARGUMENT, "table", "schema");
    };
  TableSchema stored;
  auto loaded = TableImpl::load_as(runtime_, *file, "table", grow, &stored);
  if (!refused.ok()) return refused;
  if (!loaded.ok()) return std::move(loaded.status()).in_file(snapshot.c_str());
  *table = std::move(*loaded);
  file.reset();
  snapshot_lsn_ = recovered_lsn_ = lsn;
  (*table)->begin_opening();
  GYR_TRY(replay(table->get(), std::move(found), task));
  (*table)->end_opening();
  if (stored.to_json() == (*table)->schema().to_json()) return {};
  GYR_TRY(save_snapshot(**table, recovered_lsn_, task));
  drop_segments(recovered_lsn_);
  return {};
}

Status LiveTable::replay(TableImpl* table, Segments found, gyr_task* task) {
  set_phase(task, "replay", 0);
  uint64_t snapshot = recovered_lsn_;
  auto missing = [&](uint64_t first, uint64_t last) {
    return fail(GYR_E_CORRUPT, "table", "'%s': changes %llu to %llu are missing; restore the folder from a good copy",
                folder_.c_str(), (unsigned long long)first, (unsigned long long)last);
  };
  for (size_t i = 0; i < found.size(); i++) {
    TableLog::Segment& s = found[i];
    bool last = i + 1 == found.size();
    if (!last && found[i + 1].first_lsn <= snapshot + 1) {  // a checkpoint could not remove it
      s.last_lsn = found[i + 1].first_lsn - 1;
      segments_.push_back(s);
      continue;
    }
    if (s.first_lsn > recovered_lsn_ + 1) return missing(recovered_lsn_ + 1, s.first_lsn - 1);
    GYR_TRY(replay_segment(table, &s, last, task).in_file(path(segment_name(s.first_lsn)).c_str()));
    if (!last && s.last_lsn + 1 != found[i + 1].first_lsn) return missing(s.last_lsn + 1, found[i + 1].first_lsn - 1);
    recovered_lsn_ = std::max(recovered_lsn_, s.last_lsn);
    if (s.last_lsn >= s.first_lsn) segments_.push_back(s);
  }
  drop_segments(snapshot);
  return {};
}

Status LiveTable::replay_segment(TableImpl* table, TableLog::Segment* segment, bool last, gyr_task* task) {
  const std::string name = path(segment_name(segment->first_lsn));
  GYR_ASSIGN(File file, File::open_read(name));
  GYR_ASSIGN(uint64_t size, file.size());
  SegmentView view(&file, size);
  SegmentRead read{};
  Batch batch;
  auto use = [&](const RecordHeader& h, std::span<const uint8_t> payload) -> Status {
    if (h.lsn <= snapshot_lsn_) return {};
    GYR_TRY(check(task));
    GYR_TRY(decode_payload(h, payload, &batch));
    advance(task, uint64_t(batch.rows));
    return h.type == LogType::kUpsert ? table->apply(batch, nullptr, h.time_us) : apply_delete(table, batch);
  };
  GYR_TRY(read_segment(&view, table_id_, segment->first_lsn, last, use, &read));
  segment->last_lsn = read.last_lsn;
  segment->bytes = read.bytes;
  if (!last) return {};
  if (read.last_lsn < segment->first_lsn) return remove_file(name);
  // What a process that died left may be in memory only. Nothing is written behind what was torn, and what is read here
  // is known to be on disk from now on.
  if (read.marked && read.bytes == size) return file.sync_data();
  const RecordHeader mark = make_mark(table_id_, read.last_lsn);
  segment->bytes += sizeof mark;
  return atomic_save(name, [&](File* to) -> Status {
    uint8_t header[kSegmentHeader];
    write_segment_header(table_id_, segment->first_lsn, &header);
    GYR_TRY(to->write(header));
    std::span<const uint8_t> piece;
    for (uint64_t at = kSegmentHeader; at < read.bytes; at += piece.size()) {
      GYR_TRY(view.look(at, std::min(kCopyPiece, read.bytes - at), &piece));
      GYR_TRY(to->write(piece));
    }
    return to->write({reinterpret_cast<const uint8_t*>(&mark), sizeof mark});
  });
}

Status LiveTable::apply_delete(TableImpl* table, const Batch& batch) {
  const Column& column = batch.columns[0];
  Keys keys{table->key_dtype(), nullptr, nullptr, uint64_t(batch.rows)};
  std::vector<gyr_str> strings;
  if (column.dtype != table->key_dtype() || column.is_list)
    return fail(GYR_E_CORRUPT, "table", "logged keys are %s, the table's %s", dtype_name(column.dtype),
                dtype_name(table->key_dtype()));
  for (int64_t i = 0; column.physical() == Physical::kString && i < batch.rows; i++)
    strings.push_back({column.string(i).data(), column.string(i).size()});
  if (column.physical() == Physical::kString)
    keys.strings = strings.data();
  else
    keys.ints = column.ints.data();
  GYR_TRY(table->check_keys(keys));
  uint64_t removed = 0, tried = 0;
  return table->apply_remove(keys, &removed, &tried);
}

}  // namespace gyr
