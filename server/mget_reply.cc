#include "server/mget_reply.h"

#include <algorithm>
#include <utility>

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

#include "resp/limits.h"
#include "store/values.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::Code;
using store::Dims;
using store::ReadResult;
using store::Status;
using Cell = ReadResult::Cell;

Dims DimsOf(const Cell& cell) {
  return cell.chunk->DimsOf(cell.slot);
}
std::string_view BytesOf(const Cell& cell) {
  return cell.chunk->BytesOf(cell.slot);
}

std::string_view AsBytes(Dims dims) {
  return {reinterpret_cast<const char*>(dims.data()), dims.size_bytes()};
}

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

void ReplyPayload(std::span<const Cell> cells, std::size_t bytes, Reply& reply) {
  reply.BeginPayload(bytes);
  SliceWriter writer(reply);
  for (const Cell& cell : cells) {
    writer.Add(BytesOf(cell));
  }
  writer.Flush();
  reply.EndPayload();
}

void ReplyDims(Dims dims, Reply& reply) {
  reply.Array(dims.size());
  for (const std::int64_t dim : dims) {
    reply.Integer(dim);
  }
}

// What a column's cells have in common.
struct Shape {
  std::vector<std::int64_t> dims;  // n first; -1 where rows differ
  bool ragged = false;
  std::size_t bytes = 0;
};

store::Result<Shape> CommonShape(const ReadResult::Column& column, std::span<const Cell> cells) {
  Shape shape;
  shape.dims.push_back(static_cast<std::int64_t>(cells.size()));
  const bool byte_string = store::IsByteString(column.dtype);
  if (!cells.empty()) {
    const Dims first = DimsOf(cells.front());
    shape.dims.insert(shape.dims.end(), first.begin(), first.end());
  }
  for (const Cell& cell : cells) {
    const Dims dims = DimsOf(cell);
    if (dims.size() + 1 != shape.dims.size()) {
      return Status(
          Code::kShape,
          fmt::format("field '{}': rows of rank {} and {} make no column: ask for FORMAT rows",
                      column.name.View(), shape.dims.size() - 1, dims.size()));
    }
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (shape.dims[d + 1] != dims[d]) {
        shape.dims[d + 1] = -1;
        shape.ragged = true;
      }
    }
    shape.bytes += BytesOf(cell).size();
  }
  if (byte_string) {  // always the same form, whatever the lengths happen to be
    shape.dims = {static_cast<std::int64_t>(cells.size()), -1};
    shape.ragged = true;
  }
  return shape;
}

void ReplyShapes(const Shape& shape, std::span<const Cell> cells, Reply& reply) {
  if (!shape.ragged) {
    reply.Null();
    return;
  }
  const std::size_t rank = shape.dims.size() - 1;
  reply.BeginPayload(cells.size() * rank * sizeof(std::int64_t));
  for (const Cell& cell : cells) {
    reply.Copy(AsBytes(DimsOf(cell)));
  }
  reply.EndPayload();
}

// The distinct cells of a column in the order of their first row, and each row's position among
// them.
struct Distinct {
  std::vector<Cell> cells;
  std::vector<std::int64_t> positions;
};

Distinct FindDistinct(std::span<const Cell> cells) {
  Distinct distinct;
  boost::unordered_flat_map<std::pair<const store::Chunk*, std::uint32_t>, std::int64_t> seen;
  for (const Cell& cell : cells) {
    const auto [it, inserted] = seen.emplace(std::pair(cell.chunk, cell.slot),
                                             static_cast<std::int64_t>(distinct.cells.size()));
    if (inserted) {
      distinct.cells.push_back(cell);
    }
    distinct.positions.push_back(it->second);
  }
  return distinct;
}

Status ReplyColumn(const ReadResult::Column& column, std::span<const Cell> cells, bool dict,
                   Reply& reply) {
  Distinct distinct;
  if (dict) {
    distinct = FindDistinct(cells);
    cells = distinct.cells;
  }
  TRY_ASSIGN(const Shape shape, CommonShape(column, cells));
  reply.Array(dict ? 6 : 5);
  reply.Bulk(column.name.View());
  reply.Bulk(store::NameOf(column.dtype));
  ReplyDims(shape.dims, reply);
  ReplyShapes(shape, cells, reply);
  ReplyPayload(cells, shape.bytes, reply);
  if (dict) {
    reply.Bulk(AsBytes(distinct.positions));
  }
  return {};
}

// The reply's slices stay valid until they are sent, whatever happens to the rows.
void HandOverPins(ReadResult& read, Reply& reply) {
  for (store::ChunkRef& pin : read.pins) {
    reply.Hold(resp::Pin(pin.Detach(), store::Chunk::ReleasePin));
  }
  read.pins.clear();
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
      ReplyDims(DimsOf(cell), reply);
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
        count += store::IsByteString(dtype) ? 1 : BytesOf(cell).size() / store::SizeOf(dtype);
      }
    }
  }
  return count;
}

}  // namespace

Status ReplyColumns(ReadResult& read, bool dict, Reply& reply) {
  reply.Array(read.columns.size());
  for (std::size_t c = 0; c < read.columns.size(); ++c) {
    TRY(ReplyColumn(read.columns[c], {read.CellsOf(c), read.indexes.size()}, dict, reply));
  }
  HandOverPins(read, reply);
  return {};
}

void ReplyRows(ReadResult& read, Reply& reply) {
  ReplyByRow(read, reply, [&reply](const ReadResult::Column& /*column*/, const Cell& cell) {
    ReplyPayload({&cell, 1}, BytesOf(cell).size(), reply);
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
    const std::string_view bytes = BytesOf(cell);
    if (store::IsByteString(column.dtype)) {
      reply.Array(1);
      ReplyPayload({&cell, 1}, bytes.size(), reply);
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
