#include <algorithm>
#include <memory>

#include "data/arrow.h"

namespace gyr {
namespace {

const char* format_of(gyr_dtype type) {
  switch (type) {
    case GYR_DTYPE_BOOL:
      return "b";
    case GYR_DTYPE_INT8:
      return "c";
    case GYR_DTYPE_INT16:
      return "s";
    case GYR_DTYPE_INT32:
      return "i";
    case GYR_DTYPE_INT64:
      return "l";
    case GYR_DTYPE_UINT8:
      return "C";
    case GYR_DTYPE_UINT16:
      return "S";
    case GYR_DTYPE_UINT32:
      return "I";
    case GYR_DTYPE_UINT64:
      return "L";
    case GYR_DTYPE_FLOAT32:
      return "f";
    case GYR_DTYPE_FLOAT64:
      return "g";
    case GYR_DTYPE_STRING:
      return "U";
    case GYR_DTYPE_TIMESTAMP:
      return "tsu:UTC";
    default:
      return "n";
  }
}

// ---- schema -------------------------------------------------------------------------------------------------------

struct SchemaNode {
  SchemaNode() = default;
  SchemaNode(const SchemaNode&) = delete;
  std::string format, name;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;

  // A consumer may have moved children out; those have release == NULL by then.
  ~SchemaNode() {
    for (ArrowSchema& child : children)
      if (child.release) child.release(&child);
  }
};

void release_schema(ArrowSchema* schema) {
  delete static_cast<SchemaNode*>(schema->private_data);
  schema->release = nullptr;
}

void finish_schema(std::unique_ptr<SchemaNode> node, ArrowSchema* out) {
  for (ArrowSchema& child : node->children) node->pointers.push_back(&child);
  *out = {};
  out->format = node->format.c_str();
  out->name = node->name.c_str();
  out->flags = ARROW_FLAG_NULLABLE;
  out->n_children = int64_t(node->children.size());
  out->children = node->children.empty() ? nullptr : node->pointers.data();
  out->release = release_schema;
  out->private_data = node.release();
}

std::unique_ptr<SchemaNode> schema_node(const char* format, std::string name, size_t children) {
  auto node = std::make_unique<SchemaNode>();
  node->format = format;
  node->name = std::move(name);
  node->children.resize(children);
  node->pointers.reserve(children);
  return node;
}

// ---- arrays -------------------------------------------------------------------------------------------------------

struct ArrayNode {
  ArrayNode() = default;
  ArrayNode(const ArrayNode&) = delete;
  std::vector<std::unique_ptr<char[]>> storage;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;
  int64_t null_count = 0;

  ~ArrayNode() {
    for (ArrowArray& child : children)
      if (child.release) child.release(&child);
  }
  // Arrow wants non-NULL pointers even for empty buffers.
  template <class T>
  T* add(size_t n) {
    storage.push_back(std::make_unique_for_overwrite<char[]>(n * sizeof(T) + 8));
    buffers.push_back(storage.back().get());
    return reinterpret_cast<T*>(storage.back().get());
  }
  char* add_bits(size_t n) {
    char* bits = add<char>(n / 8 + 1);
    std::fill_n(bits, n / 8 + 1, 0);
    return bits;
  }
  void add_validity(const std::vector<uint8_t>& valid) {
    for (uint8_t v : valid) null_count += !v;
    if (null_count == 0) return buffers.push_back(nullptr);
    char* bits = add_bits(valid.size());
    for (size_t i = 0; i < valid.size(); i++) bits[i / 8] = char(bits[i / 8] | (valid[i] != 0) << (i % 8));
  }
};

void release_array(ArrowArray* array) {
  delete static_cast<ArrayNode*>(array->private_data);
  array->release = nullptr;
}

void finish_array(std::unique_ptr<ArrayNode> node, int64_t length, ArrowArray* out) {
  for (ArrowArray& child : node->children) node->pointers.push_back(&child);
  *out = {};
  out->length = length;
  out->null_count = node->null_count;
  out->n_buffers = int64_t(node->buffers.size());
  out->buffers = node->buffers.empty() ? nullptr : node->buffers.data();
  out->n_children = int64_t(node->children.size());
  out->children = node->children.empty() ? nullptr : node->pointers.data();
  out->release = release_array;
  out->private_data = node.release();
}

std::unique_ptr<ArrayNode> array_node(size_t children) {
  auto node = std::make_unique<ArrayNode>();
  node->children.resize(children);
  node->pointers.reserve(children);
  node->buffers.reserve(3);
  return node;
}

template <class T>
Status add_ints(const Column& column, const char* name, ArrayNode* node) {
  T* to = node->add<T>(column.ints.size());
  for (size_t i = 0; i < column.ints.size(); i++) {
    int64_t v = column.ints[i];
    to[i] = T(v);
    if ((v < 0 && std::is_unsigned_v<T>) || int64_t(to[i]) != v)
      return fail(GYR_E_OUT_OF_RANGE, "data", "column \"%.80s\", value %zu: %lld does not fit in %s", name, i,
                  (long long)v, dtype_name(column.dtype));
  }
  return {};
}

Status add_values(const Column& column, const char* name, ArrayNode* node) {
  switch (column.dtype) {
    case GYR_DTYPE_BOOL: {
      char* bits = node->add_bits(column.ints.size());
      for (size_t i = 0; i < column.ints.size(); i++)
        bits[i / 8] = char(bits[i / 8] | (column.ints[i] != 0) << (i % 8));
      return {};
    }
    case GYR_DTYPE_INT8:
      return add_ints<int8_t>(column, name, node);
    case GYR_DTYPE_INT16:
      return add_ints<int16_t>(column, name, node);
    case GYR_DTYPE_INT32:
      return add_ints<int32_t>(column, name, node);
    case GYR_DTYPE_UINT8:
      return add_ints<uint8_t>(column, name, node);
    case GYR_DTYPE_UINT16:
      return add_ints<uint16_t>(column, name, node);
    case GYR_DTYPE_UINT32:
      return add_ints<uint32_t>(column, name, node);
    case GYR_DTYPE_UINT64:
      return add_ints<uint64_t>(column, name, node);
    case GYR_DTYPE_FLOAT32: {
      float* to = node->add<float>(column.floats.size());
      for (size_t i = 0; i < column.floats.size(); i++) to[i] = float(column.floats[i]);
      return {};
    }
    case GYR_DTYPE_FLOAT64:
      std::copy(column.floats.begin(), column.floats.end(), node->add<double>(column.floats.size()));
      return {};
    case GYR_DTYPE_STRING: {
      std::copy(column.char_offsets.begin(), column.char_offsets.end(), node->add<int64_t>(column.char_offsets.size()));
      std::copy(column.chars.begin(), column.chars.end(), node->add<char>(column.chars.size()));
      return {};
    }
    default:
      return add_ints<int64_t>(column, name, node);
  }
}

Status export_leaves(const Column& column, const char* name, ArrowArray* out) {
  auto node = array_node(0);
  if (column.dtype == GYR_DTYPE_NONE) {
    node->null_count = column.leaves();
  } else {
    node->add_validity(column.leaf_valid);
    GYR_TRY(add_values(column, name, node.get()));
  }
  finish_array(std::move(node), column.leaves(), out);
  return {};
}

Status export_column(const Column& column, const char* name, ArrowArray* out) {
  if (!column.is_list) return export_leaves(column, name, out);
  auto node = array_node(1);
  node->add_validity(column.list_valid);
  std::copy(column.list_offsets.begin(), column.list_offsets.end(), node->add<int64_t>(column.list_offsets.size()));
  GYR_TRY(export_leaves(column, name, &node->children[0]));
  finish_array(std::move(node), column.rows(), out);
  return {};
}

}  // namespace

std::vector<Field> fields_of(const Batch& batch) {
  std::vector<Field> fields;
  for (size_t i = 0; i < batch.columns.size(); i++)
    fields.push_back({batch.names[i], batch.columns[i].dtype, batch.columns[i].is_list});
  return fields;
}

Status export_schema(const std::vector<Field>& fields, ArrowSchema* out) {
  auto root = schema_node("+s", "", fields.size());
  for (size_t i = 0; i < fields.size(); i++) {
    const Field& f = fields[i];
    auto node = schema_node(f.is_list ? "+L" : format_of(f.dtype), f.name, f.is_list ? 1 : 0);
    if (f.is_list) finish_schema(schema_node(format_of(f.dtype), "item", 0), &node->children[0]);
    finish_schema(std::move(node), &root->children[i]);
  }
  finish_schema(std::move(root), out);
  out->flags = 0;
  return {};
}

Status export_batch(const Batch& batch, ArrowArray* out) {
  auto root = array_node(batch.columns.size());
  root->buffers.push_back(nullptr);
  for (size_t i = 0; i < batch.columns.size(); i++) {
    const Column& column = batch.columns[i];
    const char* name = batch.names[i].c_str();
    if (column.rows() != batch.rows)
      return fail(GYR_E_INTERNAL, "data", "column \"%.80s\" has %lld rows, its batch %lld", name,
                  (long long)column.rows(), (long long)batch.rows);
    GYR_TRY(export_column(column, name, &root->children[i]));
  }
  finish_array(std::move(root), batch.rows, out);
  return {};
}

}  // namespace gyr
