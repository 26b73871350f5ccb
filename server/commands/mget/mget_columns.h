// A column of a KV.MGET reply: what its rows have in common. How their bytes are written:
// server/commands/mget/mget_data.h.
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
  const SluiceTorchApi* torch = nullptr;  // null: there is none; for the four small floats
};

struct ColumnPlan {
  const store::ReadResult::Column* column = nullptr;
  std::vector<store::ReadResult::Cell> distinct;  // with DICT: what `cells` are
  std::vector<std::int64_t> positions;            // with DICT: of each row among the cells
  std::span<const store::ReadResult::Cell> cells;
  // One row's; -1 where rows differ, unless they are padded: the largest then.
  std::vector<std::int64_t> dims;
  bool ragged = false;  // their dims differ, or they are byte strings: their shapes go along
  bool padded = false;
  bool pad_left = false;
  std::array<char, 8> fill = {};  // one element, where padded
  std::size_t bytes = 0;          // of all cells, with padding
};

// Errors: kShape where the rows' ranks differ; kError where the padding is no value of the dtype,
// or makes too much.
Result<ColumnPlan> PlanColumn(const store::ReadResult::Column& column,
                              std::span<const store::ReadResult::Cell> cells,
                              const MgetOptions& options);

// Of the cells' shapes, packed.
[[nodiscard]] std::size_t ShapesBytes(const ColumnPlan& plan);

}  // namespace sluice::server
