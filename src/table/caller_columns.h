// Columns of rows copied into caller memory: typed, with capacities and a status per value.
#pragma once

#include <gyr/table.h>

#include "table/row_format.h"

namespace gyr {

// Where a column's values come from.
struct Source {
  const RowFormat* format;
  size_t column;               // in the format
  const uint8_t* const* rows;  // [n]; null = not to be read
  const uint8_t* state;        // [n] GYR_VALUE_PRESENT where there is a row, else why not
  size_t n;
};

// Every value of `from` is a value of `to`. uint64 columns hold at most 2^63-1.
bool lossless(gyr_dtype from, gyr_dtype to);

using CopyColumn = void (*)(const Source& from, const gyr_table_column& to);
CopyColumn copy_of(const Field& stored, gyr_dtype wanted);

// to: null or [n] GYR_VALUE_*.
void copy_statuses(const Source& from, uint8_t* to);

Status check_destination(const Field& field, const gyr_table_column& c, uint64_t count);
// That all values fit.
Status check_capacity(const Source& from, const gyr_table_column& c);

}  // namespace gyr
