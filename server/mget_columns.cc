#include "server/mget_columns.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

#include "resp/limits.h"
#include "store/shape.h"
#include "store/values.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::Code;
using store::Dims;
using store::DType;
using store::ReadResult;
using store::Status;
using Cell = ReadResult::Cell;

// Cells' bytes in the order given; what lies side by side in memory goes out as one.
class SliceWriter {
 public:
  explicit SliceWriter(Reply& reply) : reply_(reply) {}

  void Add(std::string_view bytes) {
    if (bytes.empty()) {
      return;
    }
    if (run_.data() + run_.size() == bytes.data()) {
      run_ = {run_.data(), run_.size() + bytes.size()};
      return;
    }
    Flush();
    run_ = bytes;
  }
  void Flush() {
    if (run_.size() >= resp::kLargeBulkBytes) {
      reply_.Reference(run_);
    } else if (!run_.empty()) {
      reply_.Copy(run_);
    }
    run_ = {};
  }

 private:
  Reply& reply_;
  std::string_view run_;
};

// The cells of a padded column, with the fill around them.
class PaddedWriter {
 public:
  PaddedWriter(const ColumnPlan& plan, Reply& reply)
      : plan_(plan), item_(store::SizeOf(plan.column->dtype)), reply_(reply), slices_(reply) {
    for (std::size_t at = 0; at < block_.size(); at += item_) {
      std::memcpy(block_.data() + at, plan.fill.data(), item_);
    }
  }

  // Line by line along the last dim; a line lies in the cell or is fill from end to end.
  void Write(const Cell& cell) {
    const Dims dims = cell.Shape();
    const std::size_t last = dims.size() - 1;
    const std::size_t line_bytes = static_cast<std::size_t>(dims[last]) * item_;
    const std::size_t padding = static_cast<std::size_t>(plan_.dims[last] - dims[last]) * item_;
    std::string_view rest = cell.Bytes();
    index_.assign(last, 0);
    do {
      if (!Inside(dims)) {
        Fill(line_bytes + padding);
        continue;
      }
      Fill(plan_.pad_left ? padding : 0);
      Data(rest.substr(0, line_bytes));
      rest.remove_prefix(line_bytes);
      Fill(plan_.pad_left ? 0 : padding);
    } while (Advance());
  }
  void Finish() {
    slices_.Flush();
    FlushFill();
  }

 private:
  [[nodiscard]] bool Inside(Dims dims) const {
    for (std::size_t d = 0; d < index_.size(); ++d) {
      const std::int64_t begin = plan_.pad_left ? plan_.dims[d] - dims[d] : 0;
      if (index_[d] < begin || index_[d] >= begin + dims[d]) {
        return false;
      }
    }
    return true;
  }
  // To the next line; false after the last.
  bool Advance() {
    for (std::size_t d = index_.size(); d > 0; --d) {
      if (++index_[d - 1] < plan_.dims[d - 1]) {
        return true;
      }
      index_[d - 1] = 0;
    }
    return false;
  }
  void Data(std::string_view bytes) {
    if (!bytes.empty()) {
      FlushFill();
      slices_.Add(bytes);
    }
  }
  void Fill(std::size_t bytes) {
    if (bytes > 0) {
      slices_.Flush();
      fill_ += bytes;
    }
  }
  void FlushFill() {
    for (; fill_ > 0; fill_ -= std::min(fill_, block_.size())) {
      reply_.Copy({block_.data(), std::min(fill_, block_.size())});
    }
  }

  const ColumnPlan& plan_;
  std::size_t item_;
  Reply& reply_;
  SliceWriter slices_;
  std::size_t fill_ = 0;             // bytes of it that are due
  std::vector<std::int64_t> index_;  // of the line: in all dims but the last
  std::array<char, 4096> block_;     // full of it
};

// The distinct cells of a column in the order of their first row, and each row's position among
// them.
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
      fmt::format("field '{}': rows of rank {} and {} make no column: ask for FORMAT rows",
                  column.name.View(), rank, other));
}

// Sets dims, ragged, and the bytes of the cells as they are; `largest`: the largest of each dim.
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

// Sets fill. As with VALUES, a float past its range becomes inf.
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

store::Result<ColumnPlan> PlanColumn(const ReadResult::Column& column, std::span<const Cell> cells,
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
  if (store::IsByteString(column.dtype)) {  // the same form, whatever the lengths happen to be
    plan.dims = {-1};
    plan.ragged = true;
  } else if (options.padding.given && plan.ragged) {
    TRY(Pad(options, std::move(largest), plan));
  }
  return plan;
}

void WriteData(const ColumnPlan& plan, Reply& reply) {
  if (plan.padded && plan.bytes > 0) {
    PaddedWriter writer(plan, reply);
    for (const Cell& cell : plan.cells) {
      writer.Write(cell);
    }
    writer.Finish();
    return;
  }
  SliceWriter writer(reply);
  for (const Cell& cell : plan.cells) {
    writer.Add(cell.Bytes());  // of a padded column without bytes: none
  }
  writer.Flush();
}

void WriteShapes(const ColumnPlan& plan, Reply& reply) {
  for (const Cell& cell : plan.cells) {
    reply.Copy(store::AsBytes(cell.Shape()));
  }
}

std::size_t ShapesBytes(const ColumnPlan& plan) {
  return plan.cells.size() * plan.dims.size() * sizeof(std::int64_t);
}

void HandOverPins(ReadResult& read, Reply& reply) {
  for (store::ChunkRef& pin : read.pins) {
    reply.Hold(resp::Pin(pin.Detach(), store::Chunk::ReleasePin));
  }
  read.pins.clear();
}

}  // namespace sluice::server
