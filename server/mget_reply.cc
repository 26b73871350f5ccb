#include "server/mget_reply.h"

#include <string>

#include <fmt/format.h>

#include "resp/limits.h"
#include "store/shape.h"
#include "store/values.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::Code;
using store::Dims;
using store::ReadResult;
using store::Status;
using Cell = ReadResult::Cell;

void ReplyDims(Dims dims, Reply& reply) {
  reply.Array(dims.size());
  for (const std::int64_t dim : dims) {
    reply.Integer(dim);
  }
}

void ReplyColumn(const ColumnPlan& plan, bool dict, Reply& reply) {
  reply.Array(dict ? 6 : 5);
  reply.Bulk(plan.column->name.View());
  reply.Bulk(store::NameOf(plan.column->dtype));
  reply.Array(1 + plan.dims.size());
  reply.Integer(static_cast<std::int64_t>(plan.cells.size()));
  for (const std::int64_t dim : plan.dims) {
    reply.Integer(dim);
  }
  if (plan.ragged) {
    reply.BeginPayload(ShapesBytes(plan));
    WriteShapes(plan, reply);
    reply.EndPayload();
  } else {
    reply.Null();
  }
  reply.BeginPayload(plan.bytes);
  WriteData(plan, reply);
  reply.EndPayload();
  if (dict) {
    reply.Bulk(store::AsBytes(plan.positions));
  }
}

void ReplyCell(const Cell& cell, Reply& reply) {
  const std::string_view bytes = cell.Bytes();
  reply.BeginPayload(bytes.size());
  if (bytes.size() >= resp::kLargeBulkBytes) {
    reply.Reference(bytes);
  } else {
    reply.Copy(bytes);
  }
  reply.EndPayload();
}

// Calls `each(column, cell)` for every ready cell of a row.
template <typename Each>
void ForRow(const ReadResult& read, std::size_t row, const Each& each) {
  for (std::size_t c = 0; c < read.columns.size(); ++c) {
    const Cell& cell = read.CellsOf(c)[row];
    if (cell.chunk != nullptr) {
      each(read.columns[c], cell);
    }
  }
}

// `[[name, dtype, shape, <data>], ...]` for each row; `data(column, cell)` appends the last
// element.
template <typename Data>
void ReplyByRow(const ReadResult& read, Reply& reply, const Data& data) {
  reply.Array(read.indexes.size());
  for (std::size_t row = 0; row < read.indexes.size(); ++row) {
    if (read.indexes[row] == store::kNoRow) {
      reply.NullArray();
      continue;
    }
    std::size_t ready = 0;
    ForRow(read, row,
           [&ready](const ReadResult::Column& /*column*/, const Cell& /*cell*/) { ++ready; });
    reply.Array(ready);
    ForRow(read, row, [&reply, &data](const ReadResult::Column& column, const Cell& cell) {
      reply.Array(4);
      reply.Bulk(column.name.View());
      reply.Bulk(store::NameOf(column.dtype));
      ReplyDims(cell.Shape(), reply);
      data(column, cell);
    });
  }
}

std::size_t CountTexts(const ReadResult& read) {
  std::size_t count = 0;
  for (std::size_t c = 0; c < read.columns.size(); ++c) {
    const store::DType dtype = read.columns[c].dtype;
    for (const Cell& cell : std::span(read.CellsOf(c), read.indexes.size())) {
      if (cell.chunk != nullptr) {
        count += store::IsByteString(dtype) ? 1 : cell.Bytes().size() / store::SizeOf(dtype);
      }
    }
  }
  return count;
}

}  // namespace

Status ReplyColumns(ReadResult& read, const MgetOptions& options, Reply& reply) {
  const std::size_t columns = read.indexes.empty() ? 0 : read.columns.size();
  reply.Array(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    TRY_ASSIGN(const ColumnPlan plan,
               PlanColumn(read.columns[c], {read.CellsOf(c), read.indexes.size()}, options));
    ReplyColumn(plan, options.dict, reply);
  }
  HandOverPins(read, reply);
  return {};
}

void ReplyRows(ReadResult& read, Reply& reply) {
  ReplyByRow(read, reply, [&reply](const ReadResult::Column& /*column*/, const Cell& cell) {
    ReplyCell(cell, reply);
  });
  HandOverPins(read, reply);
}

Status ReplyValues(ReadResult& read, const SluiceTorchApi* torch, Reply& reply) {
  if (const std::size_t count = CountTexts(read); count > kTextValuesMax) {
    return Status(Code::kError,
                  fmt::format("FORMAT values is for at most {} values, these rows have {}",
                              kTextValuesMax, count));
  }
  std::string text;
  ReplyByRow(read, reply, [&](const ReadResult::Column& column, const Cell& cell) {
    const std::string_view bytes = cell.Bytes();
    if (store::IsByteString(column.dtype)) {
      reply.Array(1);
      ReplyCell(cell, reply);
      return;
    }
    const std::size_t size = store::SizeOf(column.dtype);
    reply.Array(bytes.size() / size);
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      text.clear();
      store::FormatValue(column.dtype, bytes.data() + at, torch, text);
      reply.Bulk(text);
    }
  });
  HandOverPins(read, reply);
  return {};
}

}  // namespace sluice::server
