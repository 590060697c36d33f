// Sections "TBL1", and "TBL2" of tables with views or a history: schema JSON, counts, then batches of columns in
// key-hash order (docs/table.md).
#include "base/knobs.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

constexpr uint64_t kBatchRows = 8192;

Status corrupt(const Field& field, const char* what) {
  return fail(GYR_E_CORRUPT, "table", "saved column \"%.100s\": %s; restore the file from a good copy",
              field.name.c_str(), what);
}

bool flags_ok(const std::vector<uint8_t>& flags, int64_t n) {
  if (!flags.empty() && flags.size() != uint64_t(n)) return false;
  return std::all_of(flags.begin(), flags.end(), [](uint8_t f) { return f <= 1; });
}

bool offsets_ok(const std::vector<int64_t>& offsets, uint64_t count, uint64_t end) {
  return offsets.size() == count && count > 0 && offsets.front() == 0 && uint64_t(offsets.back()) == end &&
         std::is_sorted(offsets.begin(), offsets.end());
}

// Zeros up to the next multiple of 8 bytes of the section.
Status skip_padding(ByteReader* in, uint64_t section_bytes) {
  for (uint8_t pad = 0; (section_bytes - in->left()) % 8 != 0;) {
    GYR_TRY(in->get(&pad));
    if (pad != 0) return fail(GYR_E_CORRUPT, "table", "saved table: padding is not zero");
  }
  return {};
}

}  // namespace

void encode_column(const Column& column, ByteWriter* out) {
  if (column.physical() == Physical::kString) {
    out->put_array(column.chars);
    out->put_array(column.char_offsets);
  } else if (column.dtype == GYR_DTYPE_FLOAT32) {
    out->put_array(std::vector<float>(column.floats.begin(), column.floats.end()));
  } else if (column.physical() == Physical::kFloat) {
    out->put_array(column.floats);
  } else {
    out->put_array(column.ints);
  }
  out->put_array(column.leaf_valid);
  if (!column.is_list) return;
  out->put_array(column.list_offsets);
  out->put_array(column.list_valid);
}

Status decode_column(ByteReader* in, const Field& field, int64_t rows, Column* out) {
  out->reset(field.dtype, field.is_list);
  if (out->physical() == Physical::kString) {
    GYR_TRY(in->get_vector(&out->chars));
    GYR_TRY(in->get_vector(&out->char_offsets));
    if (!offsets_ok(out->char_offsets, out->char_offsets.size(), out->chars.size()))
      return corrupt(field, "string offsets do not match the bytes");
  } else if (field.dtype == GYR_DTYPE_FLOAT32) {
    std::span<const float> values;
    GYR_TRY(in->get_array(&values));
    out->floats.assign(values.begin(), values.end());
  } else if (out->physical() == Physical::kFloat) {
    GYR_TRY(in->get_vector(&out->floats));
  } else {
    GYR_TRY(in->get_vector(&out->ints));
  }
  GYR_TRY(in->get_vector(&out->leaf_valid));
  int64_t leaves = out->leaves();
  if (!flags_ok(out->leaf_valid, leaves)) return corrupt(field, "validity does not match the values");
  if (!field.is_list) return leaves == rows ? Status() : corrupt(field, "wrong number of values");
  GYR_TRY(in->get_vector(&out->list_offsets));
  GYR_TRY(in->get_vector(&out->list_valid));
  if (!offsets_ok(out->list_offsets, uint64_t(rows) + 1, uint64_t(leaves)))
    return corrupt(field, "list offsets do not match the values");
  if (!flags_ok(out->list_valid, rows)) return corrupt(field, "list validity does not match the rows");
  return {};
}

// Rows first: what is written meanwhile is in the history at least, and never the other way round.
Status TableImpl::save(ContainerWriter* file, std::string_view name, gyr_task* task) const {
  return save_in_order(file, name, task, false);
}

Status TableImpl::save_in_order(ContainerWriter* file, std::string_view name, gyr_task* task,
                                bool history_first) const {
  ByteWriter body, past, out;
  Batch batch;
  uint64_t rows = 0, versions = 0;
  set_phase(task, "scan", this->rows());
  if (history_ && history_first) GYR_TRY(save_history(&past, &versions));
  for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) {
    GYR_TRY(check(task));
    GYR_TRY(scan(&cursor, knobs::capacity(kBatchRows), &batch));
    if (batch.rows == 0) continue;
    body.put<uint64_t>(uint64_t(batch.rows));
    for (auto& column : batch.columns) encode_column(column, &body);
    rows += uint64_t(batch.rows);
    advance(task, uint64_t(batch.rows));
  }
  if (history_ && !history_first) GYR_TRY(save_history(&past, &versions));
  const bool plain = !history_ && !schema_.has_views();
  if (!plain) body.bytes().resize(align_up(body.bytes().size(), 8));
  body.append(past.bytes().data(), past.bytes().size());
  out.put_string(schema_.to_json().dump());
  out.put<uint64_t>(rows);
  if (!plain) out.put<uint64_t>(versions);
  // The batches' arrays are aligned to 8 from the start of the section.
  out.bytes().resize(align_up(out.bytes().size(), 8));
  out.append(body.bytes().data(), body.bytes().size());
  return file->add(name, plain ? "TBL1" : "TBL2", std::move(out.bytes()), Codec::kLz4);
}

Result<std::shared_ptr<Table>> Table::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name) {
  GYR_ASSIGN(auto table, TableImpl::load_as(std::move(runtime), file, name, nullptr, nullptr));
  return std::shared_ptr<Table>(std::move(table));
}

Result<std::shared_ptr<TableImpl>> TableImpl::load_as(std::shared_ptr<Runtime> runtime, const Container& file,
                                                      std::string_view name, const Grow& grow, TableSchema* stored) {
  auto is_plain = [&](const SectionInfo& s) { return s.name == name && s.kind == "TBL1"; };
  const bool plain = std::any_of(file.sections().begin(), file.sections().end(), is_plain);
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, plain ? "TBL1" : "TBL2"));
  ByteReader in(bytes, "table");
  std::string schema_json;
  GYR_TRY(in.get_string(&schema_json));
  auto parsed = TableSchema::parse(schema_json);
  if (!parsed.ok()) return std::move(parsed.status()).in_file("saved schema");
  if (plain && (parsed->versions || parsed->has_views()))
    return fail(GYR_E_CORRUPT, "table", "saved table: a section of kind TBL1 has neither views nor a history");
  const TableSchema saved = *parsed;
  if (stored) *stored = saved;
  if (grow) {
    GYR_ASSIGN(*parsed, grow(saved));
  }
  auto made = TableImpl::make(std::move(runtime), std::move(*parsed));
  if (!made.ok()) return std::move(made.status()).in_file("saved schema");
  std::shared_ptr<TableImpl> table = *made;
  table->begin_opening();
  uint64_t rows = 0, versions = 0;
  GYR_TRY(in.get(&rows));
  if (!plain) GYR_TRY(in.get(&versions));
  GYR_TRY(skip_padding(&in, bytes.size()));
  GYR_TRY(table->load_rows(&in, saved, rows, bytes.size()));
  if (!plain) GYR_TRY(skip_padding(&in, bytes.size()));
  GYR_TRY(table->load_history(&in, saved, versions, bytes.size()));
  GYR_TRY(in.finish());
  table->end_opening();
  return table;
}

// A value takes a byte at least, so a count beyond the section is a lie.
Status TableImpl::load_rows(ByteReader* in, const TableSchema& saved, uint64_t rows, uint64_t section_bytes) {
  const std::vector<Field> fields = saved.scan_fields();
  Batch batch;
  for (auto& f : fields) batch.add(f.name, f.dtype, f.is_list);
  UpsertStats stats;
  for (uint64_t left = rows; left > 0; left -= uint64_t(batch.rows)) {
    uint64_t n = 0;
    GYR_TRY(in->get(&n));
    if (n == 0 || n > section_bytes || n > left)
      return fail(GYR_E_CORRUPT, "table", "saved table: a batch of %llu rows", (unsigned long long)n);
    batch.rows = int64_t(n);
    for (size_t c = 0; c < fields.size(); c++) GYR_TRY(decode_column(in, fields[c], batch.rows, &batch.columns[c]));
    GYR_TRY(upsert_rows(batch, Into::kRows, 0, &stats).in_file("saved table"));
  }
  if (stats.applied == rows && this->rows() == rows) return {};
  return fail(GYR_E_CORRUPT, "table", "saved table: %llu rows announced, %llu distinct keys found",
              (unsigned long long)rows, (unsigned long long)this->rows());
}

// ---- history ------------------------------------------------------------------------------------------------------

namespace {
constexpr uint64_t kBatchEntities = 1024;
}

std::vector<Field> TableImpl::version_fields(const TableSchema& schema, uint32_t group) {
  std::vector<Field> fields{schema.key, {"", GYR_DTYPE_TIMESTAMP, false}, {"", GYR_DTYPE_TIMESTAMP, false}};
  for (size_t c = 0; c < schema.columns.size(); c++)
    if (schema.group_of[c] == group) fields.push_back(schema.columns[c]);
  return fields;
}

// Per group a batch of key, event time, created time and its columns.
Status TableImpl::save_history(ByteWriter* out, uint64_t* versions) const {
  const KeyedRows& store = history_->store();
  auto scratch = scratch_.lend();
  for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) {
    auto guard = store.read();
    store.scan(&cursor, knobs::capacity(kBatchEntities), &scratch->stored);
    for (uint32_t g = 0; g < schema_.groups.size(); g++) {
      std::vector<Field> fields = version_fields(schema_, g);
      Batch batch;
      for (auto& f : fields) batch.add(f.name, f.dtype, f.is_list);
      auto& rows = scratch->rows;
      rows.clear();
      for (auto& stored : scratch->stored) {
        History::Versions of = history_->open(stored.payload);
        for (uint32_t v = of.begin(g); v < of.end(g); v++) {
          if (schema_.key.dtype == GYR_DTYPE_STRING)
            batch.columns[0].push_string(stored.key_text());
          else
            batch.columns[0].push_int(stored.key_int());
          batch.columns[1].push_int(of.event(g, v));
          batch.columns[2].push_int(History::created(of.at(g, v)));
          rows.push_back(History::row(of.at(g, v)));
        }
      }
      if (rows.empty()) continue;
      for (size_t c = 0; c + 3 < fields.size(); c++)
        history_->format(g).read(rows.data(), rows.size(), c, &batch.columns[3 + c]);
      out->put<uint64_t>(rows.size());
      out->put<uint64_t>(g);
      for (auto& column : batch.columns) encode_column(column, out);
      *versions += rows.size();
    }
  }
  return {};
}

Status TableImpl::load_history(ByteReader* in, const TableSchema& saved, uint64_t versions, uint64_t section_bytes) {
  if (!history_)
    return versions == 0 ? Status()
                         : fail(GYR_E_CORRUPT, "table", "saved table: %llu versions, but the schema has no history",
                                (unsigned long long)versions);
  for (uint64_t left = versions; left > 0;) {
    uint64_t n = 0, group = 0;
    GYR_TRY(in->get(&n));
    GYR_TRY(in->get(&group));
    if (n == 0 || n > section_bytes || n > left || group >= schema_.groups.size())
      return fail(GYR_E_CORRUPT, "table", "saved table: a batch of %llu versions of group %llu", (unsigned long long)n,
                  (unsigned long long)group);
    GYR_TRY(load_versions(in, saved, int64_t(n), uint32_t(group)).in_file("saved table"));
    left -= n;
  }
  if (history_->versions() == versions) return {};
  return fail(GYR_E_CORRUPT, "table", "saved table: %llu versions announced, %llu kept", (unsigned long long)versions,
              (unsigned long long)history_->versions());
}

Status TableImpl::load_versions(ByteReader* in, const TableSchema& saved, int64_t n, uint32_t group) {
  std::vector<Field> fields = version_fields(saved, group);
  Batch batch;
  batch.rows = n;
  Column times, created;
  for (size_t f = 0; f < fields.size(); f++) {
    Column* into = f == 1 ? &times : f == 2 ? &created : &batch.add(fields[f].name, fields[f].dtype, fields[f].is_list);
    GYR_TRY(decode_column(in, fields[f], n, into));
    if ((f == 1 || f == 2) && !into->leaf_valid.empty())
      return fail(GYR_E_CORRUPT, "table", "saved table: a version without a time");
  }
  const std::string& name = schema_.groups[group].event_time;
  if (!name.empty()) {
    batch.names.push_back(name);
    batch.columns.push_back(times);
  } else if (std::any_of(times.ints.begin(), times.ints.end(), [](int64_t t) { return t != 0; })) {
    return fail(GYR_E_CORRUPT, "table", "saved table: an event time where the schema has none");
  }
  Input input;
  GYR_TRY(check_batch(batch, &input));
  for (int64_t i = 0; i < n; i++) {
    int64_t at[TableSchema::kMostViews + 1] = {};
    at[group] = times.ints[size_t(i)];
    const History::News news{1u << group, at, created.ints[size_t(i)], input.by_group, i};
    auto outcome = written(
        [&] { return history_->insert(key_of(*input.key, i), news, &input.draft, [](auto&) { return true; }); });
    if (outcome.too_large || !outcome.kept) return fail(GYR_E_CORRUPT, "table", "saved table: a version too many");
  }
  return {};
}

}  // namespace gyr
