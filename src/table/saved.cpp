// Section "TBL1": schema JSON, row count, then batches of columns in key-hash order (docs/table.md).
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

Status TableImpl::save(ContainerWriter* file, std::string_view name) const {
  ByteWriter body, out;
  Batch batch;
  uint64_t rows = 0;
  for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) {
    GYR_TRY(scan(&cursor, knobs::capacity(kBatchRows), &batch));
    if (batch.rows == 0) continue;
    body.put<uint64_t>(uint64_t(batch.rows));
    for (auto& column : batch.columns) encode_column(column, &body);
    rows += uint64_t(batch.rows);
  }
  out.put_string(schema_.to_json().dump());
  out.put<uint64_t>(rows);
  // The batches' arrays are aligned to 8 from the start of the section.
  out.bytes().resize(align_up(out.bytes().size(), 8));
  out.append(body.bytes().data(), body.bytes().size());
  return file->add(name, "TBL1", std::move(out.bytes()), Codec::kLz4);
}

Result<std::shared_ptr<Table>> Table::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name) {
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, "TBL1"));
  ByteReader in(bytes, "table");
  std::string schema_json;
  GYR_TRY(in.get_string(&schema_json));
  auto parsed = TableSchema::parse(schema_json);
  if (!parsed.ok()) return std::move(parsed.status()).in_file("saved schema");
  auto table = std::make_shared<TableImpl>(std::move(runtime), std::move(*parsed));
  uint64_t rows = 0;
  GYR_TRY(in.get(&rows));
  for (uint8_t pad = 0; (bytes.size() - in.left()) % 8 != 0;) {
    GYR_TRY(in.get(&pad));
    if (pad != 0) return fail(GYR_E_CORRUPT, "table", "saved table: padding is not zero");
  }
  std::vector<Field> fields{table->key_field()};
  if (!table->event_time_name().empty()) fields.push_back({table->event_time_name(), GYR_DTYPE_TIMESTAMP, false});
  fields.insert(fields.end(), table->columns().begin(), table->columns().end());
  Batch batch;
  for (auto& f : fields) batch.add(f.name, f.dtype, f.is_list);
  Table::UpsertStats stats;
  while (in.left() > 0) {
    // A value takes a byte at least, so a count beyond the section is a lie.
    uint64_t n = 0;
    GYR_TRY(in.get(&n));
    if (n == 0 || n > bytes.size())
      return fail(GYR_E_CORRUPT, "table", "saved table: a batch of %llu rows", (unsigned long long)n);
    batch.rows = int64_t(n);
    for (size_t c = 0; c < fields.size(); c++) GYR_TRY(decode_column(&in, fields[c], batch.rows, &batch.columns[c]));
    GYR_TRY(table->upsert(batch, &stats).in_file("saved table"));
  }
  if (stats.applied != rows || table->rows() != rows)
    return fail(GYR_E_CORRUPT, "table", "saved table: %llu rows announced, %llu distinct keys found",
                (unsigned long long)rows, (unsigned long long)table->rows());
  return std::shared_ptr<Table>(std::move(table));
}

}  // namespace gyr
