#include "server/commands/mget/mget_columns.h"

#include <algorithm>
#include <utility>

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

#include "store/tensor/shape.h"
#include "store/tensor/values.h"

namespace sluice::server {
namespace {

using store::Dims;
using store::DType;
using store::ReadResult;
using Cell = ReadResult::Cell;

// Finds the distinct cells of a column, in the order of their first rows, and the position of each
// row among them.
void FindDistinct(std::span<const Cell> cells, ColumnPlan& plan) {
  boost::unordered_flat_map<std::pair<const store::Chunk*, std::uint32_t>, std::int64_t> seen;
  for (const Cell& cell : cells) {
    const auto [it, inserted] = seen.emplace(std::pair(cell.chunk, cell.slot),
                                             static_cast<std::int64_t>(plan.distinct.size()));
    if (inserted) {
      plan.distinct.push_back(cell);
    }
    plan.positions.push_back(it->second);
  }
}

Status RanksDiffer(const ReadResult::Column& column, std::size_t rank, std::size_t other) {
  return Status(
      Code::kShape,
      fmt::format("field '{}': rows of rank {} and {} cannot form a column: use FORMAT rows",
                  column.name.View(), rank, other));
}

// Sets dims, ragged, and the bytes of the cells without padding. `largest`: maximum of each dim.
Status Compare(ColumnPlan& plan, std::vector<std::int64_t>& largest) {
  for (const Cell& cell : plan.cells) {
    const Dims dims = cell.Shape();
    if (&cell == &plan.cells.front()) {
      plan.dims.assign(dims.begin(), dims.end());
      largest = plan.dims;
    }
    if (dims.size() != plan.dims.size()) {
      return RanksDiffer(*plan.column, plan.dims.size(), dims.size());
    }
    for (std::size_t d = 0; d < dims.size(); ++d) {
      plan.ragged = plan.ragged || plan.dims[d] != dims[d];
      plan.dims[d] = plan.dims[d] == dims[d] ? dims[d] : -1;
      largest[d] = std::max(largest[d], dims[d]);
    }
    plan.bytes += cell.Bytes().size();
  }
  return {};
}

Status PadError(const ColumnPlan& plan, std::string_view why) {
  return Status(Code::kError, fmt::format("PAD: field '{}': {}", plan.column->name.View(), why));
}

// Sets fill. As with VALUES, a float out of range becomes inf.
Status ReadFill(const MgetOptions& options, ColumnPlan& plan) {
  const DType dtype = plan.column->dtype;
  if (store::IsSmallFloat(dtype) && options.torch == nullptr) {
    return PadError(plan, fmt::format("{} needs libtorch", store::NameOf(dtype)));
  }
  return store::ParseValues(plan.column->name.View(), dtype, std::span(&options.padding.value, 1),
                            options.torch, plan.fill.data());
}

Status Pad(const MgetOptions& options, std::vector<std::int64_t> largest, ColumnPlan& plan) {
  TRY(ReadFill(options, plan));
  const auto row = store::TensorBytes(plan.column->name.View(), plan.column->dtype, largest);
  TRY(row.GetStatus());
  const auto all = store::CheckedMul(*row, static_cast<std::int64_t>(plan.cells.size()));
  if (!all || *all > options.bytes_max) {
    return PadError(plan,
                    fmt::format("{} rows of {} would be more than {} bytes", plan.cells.size(),
                                store::ShapeText(largest), options.bytes_max));
  }
  plan.bytes = static_cast<std::size_t>(*all);
  plan.dims = std::move(largest);
  plan.padded = true;
  plan.pad_left = options.padding.left;
  return {};
}

}  // namespace

Result<ColumnPlan> PlanColumn(const ReadResult::Column& column, std::span<const Cell> cells,
                              const MgetOptions& options) {
  ColumnPlan plan;
  plan.column = &column;
  plan.cells = cells;
  if (options.dict) {
    FindDistinct(cells, plan);
    plan.cells = plan.distinct;
  }
  std::vector<std::int64_t> largest;
  TRY(Compare(plan, largest));
  if (store::IsByteString(column.dtype)) {  // the form must not depend on the lengths
    plan.dims = {-1};
    plan.ragged = true;
  } else if (options.padding.given && plan.ragged) {
    TRY(Pad(options, std::move(largest), plan));
  }
  return plan;
}

std::size_t ShapesBytes(const ColumnPlan& plan) {
  return plan.cells.size() * plan.dims.size() * sizeof(std::int64_t);
}

}  // namespace sluice::server
