// A column of a KV.MGET reply: the properties that its rows share. server/commands/mget/mget_data.h
// writes the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/partition/rows.h"

struct SluiceTorchApi;

namespace sluice::server {

// PAD left | right <value>
struct Padding {
  bool given = false;
  bool left = false;
  std::string_view value;  // as in VALUES
};

struct MgetOptions {
  Padding padding;
  bool dict = false;
  std::int64_t bytes_max = INT64_MAX;     // of one padded column
  const SluiceTorchApi* torch = nullptr;  // for the four small floats; null if there is none
};

struct ColumnPlan {
  const store::ReadResult::Column* column = nullptr;
  std::vector<store::ReadResult::Cell> distinct;  // with DICT: the elements of `cells`
  std::vector<std::int64_t> positions;            // with DICT: for each row, an index into `cells`
  std::span<const store::ReadResult::Cell> cells;
  // The dims of one row. A dim in which rows differ is -1, or the largest if the column is padded.
  std::vector<std::int64_t> dims;
  bool ragged = false;  // rows have different dims or are byte strings: the reply has their shapes
  bool padded = false;
  bool pad_left = false;
  std::array<char, 8> fill = {};  // one element, if padded
  std::size_t bytes = 0;          // of all cells, with padding
};

// Errors: kShape if the rows differ in rank; kError if the padding is not a value of the dtype, or
// if the padded column is too large.
Result<ColumnPlan> PlanColumn(const store::ReadResult::Column& column,
                              std::span<const store::ReadResult::Cell> cells,
                              const MgetOptions& options);

// Returns the size of the cells' packed shapes.
[[nodiscard]] std::size_t ShapesBytes(const ColumnPlan& plan);

}  // namespace sluice::server
