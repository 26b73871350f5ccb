// KV.MGET with FORMAT rows and FORMAT values.
#include <string>
#include <utility>

#include <fmt/format.h>

#include "resp/limits.h"
#include "server/commands/mget/mget_data.h"
#include "server/commands/mget/mget_reply.h"
#include "store/tensor/shape.h"
#include "store/tensor/values.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::ReadResult;
using Cell = ReadResult::Cell;

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

// Writes `[[name, dtype, shape, data], ...]` for each row.
class RowsReply : public ReadReply {
 public:
  explicit RowsReply(ReadResult& read) : ReadReply(read) {}

 protected:
  // Writes the last element, or one step of it. Returns whether there is more.
  virtual bool WriteData(const ReadResult::Column& /*column*/, const Cell& cell, Reply& reply) {
    ReplyCell(cell, reply);
    return false;
  }

 private:
  bool WriteStep(Reply& reply) final {
    const ReadResult& read = Read();
    if (!begun_) {
      reply.Array(read.indexes.size());
      begun_ = true;
    }
    for (Step step(reply); step.HasTime();) {
      if (row_ == read.indexes.size()) {
        return false;
      }
      if (column_ == 0 && !data_ && !WriteRowHead(reply)) {
        ++row_;
        continue;
      }
      if (column_ == read.columns.size()) {
        column_ = 0;
        ++row_;
        continue;
      }
      WriteCell(read.columns[column_], read.CellsOf(column_)[row_], reply);
    }
    return true;
  }
  // Returns false if the row does not exist.
  bool WriteRowHead(Reply& reply) {
    const ReadResult& read = Read();
    if (read.indexes[row_] == kNoRow) {
      reply.NullArray();
      return false;
    }
    std::size_t ready = 0;
    for (std::size_t c = 0; c < read.columns.size(); ++c) {
      ready += read.CellsOf(c)[row_].chunk != nullptr ? 1 : 0;
    }
    reply.Array(ready);
    return true;
  }
  void WriteCell(const ReadResult::Column& column, const Cell& cell, Reply& reply) {
    if (cell.chunk == nullptr) {
      ++column_;
      return;
    }
    if (!data_) {
      const store::Dims dims = cell.Shape();
      reply.Array(4);
      reply.Bulk(column.name.View());
      reply.Bulk(store::NameOf(column.dtype));
      reply.Array(dims.size());
      for (const std::int64_t dim : dims) {
        reply.Integer(dim);
      }
    }
    data_ = WriteData(column, cell, reply);
    column_ += data_ ? 0 : 1;
  }

  bool begun_ = false;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
  bool data_ = false;  // the data of a cell is partly written
};

class ValuesReply final : public RowsReply {
 public:
  ValuesReply(ReadResult& read, const SluiceTorchApi* torch) : RowsReply(read), torch_(torch) {}

 private:
  bool WriteData(const ReadResult::Column& column, const Cell& cell, Reply& reply) override {
    if (store::IsByteString(column.dtype)) {
      reply.Array(1);
      ReplyCell(cell, reply);
      return false;
    }
    const std::string_view bytes = cell.Bytes();
    const std::size_t size = store::SizeOf(column.dtype);
    if (at_ == 0) {
      reply.Array(bytes.size() / size);
    }
    for (Step step(reply); at_ < bytes.size() && step.HasTime(); at_ += size) {
      text_.clear();
      store::FormatValue(column.dtype, bytes.data() + at_, torch_, text_);
      reply.Bulk(text_);
    }
    if (at_ < bytes.size()) {
      return true;
    }
    at_ = 0;
    return false;
  }

  const SluiceTorchApi* torch_;
  std::size_t at_ = 0;  // offset in the bytes of the cell
  std::string text_;    // scratch
};

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

void ReplyRows(ReadResult& read, Reply& reply, std::unique_ptr<LongReply>& rest) {
  Produce(RowsReply(read), reply, rest);
}

Status ReplyValues(ReadResult& read, const SluiceTorchApi* torch, Reply& reply,
                   std::unique_ptr<LongReply>& rest) {
  if (const std::size_t count = CountTexts(read); count > kTextValuesMax) {
    return Status(Code::kError,
                  fmt::format("FORMAT values returns at most {} values, these rows have {}",
                              kTextValuesMax, count));
  }
  Produce(ValuesReply(read, torch), reply, rest);
  return {};
}

}  // namespace sluice::server
