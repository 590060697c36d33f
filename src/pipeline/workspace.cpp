#include "pipeline/workspace.h"

#include <cstring>

namespace gyr {
namespace {

template <class T>
void compact_values(std::vector<T>* values, const std::vector<uint8_t>& keep) {
  if (values->empty()) return;
  size_t out = 0;
  for (size_t i = 0; i < keep.size(); i++) {
    (*values)[out] = (*values)[i];
    out += keep[i];
  }
  values->resize(out);
}

// Moves ranges of leaves towards the front; strings move their bytes, too.
struct LeafMover {
  Column* c;
  size_t leaf = 0, byte = 0;

  void move(size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++, leaf++) {
      if (!c->leaf_valid.empty()) c->leaf_valid[leaf] = c->leaf_valid[i];
      switch (c->physical()) {
        case Physical::kInt:
          c->ints[leaf] = c->ints[i];
          break;
        case Physical::kFloat:
          c->floats[leaf] = c->floats[i];
          break;
        case Physical::kString: {
          size_t from = size_t(c->char_offsets[i]), size = size_t(c->char_offsets[i + 1]) - from;
          if (size) std::memmove(c->chars.data() + byte, c->chars.data() + from, size);  // no text at all: NULL
          c->char_offsets[leaf] = int64_t(byte);
          byte += size;
          break;
        }
      }
    }
  }

  void finish() {
    if (!c->leaf_valid.empty()) c->leaf_valid.resize(leaf);
    switch (c->physical()) {
      case Physical::kInt:
        c->ints.resize(leaf);
        break;
      case Physical::kFloat:
        c->floats.resize(leaf);
        break;
      case Physical::kString:
        c->char_offsets.resize(leaf + 1);
        c->char_offsets[leaf] = int64_t(byte);
        c->chars.resize(byte);
        break;
    }
  }
};

void compact_lists(Column* column, const std::vector<uint8_t>& keep) {
  LeafMover mover{column};
  size_t row = 0;
  int64_t begin = 0;
  for (size_t i = 0; i < keep.size(); i++) {
    int64_t end = column->list_offsets[i + 1];
    if (keep[i]) {
      mover.move(size_t(begin), size_t(end));
      if (!column->list_valid.empty()) column->list_valid[row] = column->list_valid[i];
      column->list_offsets[++row] = int64_t(mover.leaf);
    }
    begin = end;
  }
  column->list_offsets.resize(row + 1);
  if (!column->list_valid.empty()) column->list_valid.resize(row);
  mover.finish();
}

}  // namespace

void compact_column(Column* column, const std::vector<uint8_t>& keep) {
  if (column->is_list) return compact_lists(column, keep);
  switch (column->physical()) {
    case Physical::kInt:
      compact_values(&column->ints, keep);
      return compact_values(&column->leaf_valid, keep);
    case Physical::kFloat:
      compact_values(&column->floats, keep);
      return compact_values(&column->leaf_valid, keep);
    case Physical::kString: {
      LeafMover mover{column};
      for (size_t i = 0; i < keep.size(); i++)
        if (keep[i]) mover.move(i, i + 1);
      return mover.finish();
    }
  }
}

void compact(Workspace* w) {
  size_t out = 0;
  for (size_t user = 0; user + 1 < w->begin.size(); user++) {
    size_t begin = size_t(w->begin[user]), end = size_t(w->begin[user + 1]);
    w->begin[user] = int64_t(out);
    for (size_t i = begin; i < end; i++) {
      w->ids[out] = w->ids[i];
      out += w->keep[i];
    }
  }
  w->begin.back() = int64_t(out);
  if (out == w->ids.size()) return;
  w->ids.resize(out);
  for (uint32_t slot : w->item_slots) {
    Batch& batch = w->slots[slot];
    if (batch.rows != int64_t(w->keep.size())) continue;  // not filled in this call yet
    for (Column& column : batch.columns) compact_column(&column, w->keep);
    batch.rows = int64_t(out);
  }
}

}  // namespace gyr
