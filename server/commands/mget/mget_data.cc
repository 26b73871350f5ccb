#include "server/commands/mget/mget_data.h"

#include <algorithm>
#include <cstring>

#include "resp/limits.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::Dims;
using Cell = store::ReadResult::Cell;

constexpr std::size_t kFillBytes = 4096;  // a multiple of every element size

}  // namespace

DataSteps::DataSteps(const ColumnPlan& plan)
    : plan_(&plan),
      padded_(plan.padded && plan.bytes > 0),
      item_(store::SizeOf(plan.column->dtype)) {
  if (!padded_) {
    return;
  }
  fill_ = std::make_unique_for_overwrite<char[]>(kFillBytes);
  for (std::size_t at = 0; at < kFillBytes; at += item_) {
    std::memcpy(fill_.get() + at, plan.fill.data(), item_);
  }
}

bool DataSteps::Write(Reply& reply) {
  for (Step step(reply); step.HasTime();) {
    if (now_.bytes > 0) {
      WriteDue(reply);
      continue;
    }
    Part part;
    if (!NextPart(part)) {
      now_ = std::exchange(due_, {});
      if (now_.bytes == 0) {
        return false;
      }
    } else if (part.bytes == 0) {
      continue;
    } else if (due_.bytes == 0) {
      due_ = part;
    } else if (part.data == nullptr ? due_.data == nullptr : due_.data + due_.bytes == part.data) {
      due_.bytes += part.bytes;
    } else {
      now_ = std::exchange(due_, part);
    }
  }
  return true;
}

void DataSteps::WriteDue(Reply& reply) {
  std::size_t bytes = now_.bytes;
  if (now_.data == nullptr) {
    bytes = std::min(bytes, kFillBytes);
    reply.Copy({fill_.get(), bytes});
  } else if (bytes >= resp::kLargeBulkBytes) {
    reply.Reference({now_.data, bytes});
  } else {
    reply.Copy({now_.data, bytes});
  }
  now_.bytes -= bytes;
}

// Returns false if there is no further part.
bool DataSteps::NextPart(Part& part) {
  if (!padded_) {
    if (cell_ == plan_->cells.size()) {
      return false;
    }
    const std::string_view bytes = plan_->cells[cell_++].Bytes();
    part = {.data = bytes.data(), .bytes = bytes.size()};
    return true;
  }
  if (line_.next == 3 && !NextLine()) {
    return false;
  }
  part = line_.parts[line_.next++];
  return true;
}

void DataSteps::BeginCell() {
  const Cell& cell = plan_->cells[cell_++];
  rest_ = cell.Bytes();
  index_.assign(cell.Shape().size() - 1, 0);
  more_lines_ = true;
}

bool DataSteps::NextLine() {
  if (!more_lines_) {
    if (cell_ == plan_->cells.size()) {
      return false;
    }
    BeginCell();
  }
  const Dims dims = plan_->cells[cell_ - 1].Shape();
  const std::size_t last = dims.size() - 1;
  const std::size_t data = static_cast<std::size_t>(dims[last]) * item_;
  const std::size_t padding = static_cast<std::size_t>(plan_->dims[last] - dims[last]) * item_;
  line_ = {.parts = {{.data = nullptr, .bytes = plan_->pad_left ? padding : 0},
                     {.data = nullptr, .bytes = data},
                     {.data = nullptr, .bytes = plan_->pad_left ? 0 : padding}},
           .next = 0};
  if (data > 0 && Inside(dims)) {
    line_.parts[1].data = rest_.data();
    rest_.remove_prefix(data);
  }
  more_lines_ = false;
  for (std::size_t d = last; d > 0; --d) {
    if (++index_[d - 1] < plan_->dims[d - 1]) {
      more_lines_ = true;
      break;
    }
    index_[d - 1] = 0;
  }
  return true;
}

bool DataSteps::Inside(Dims dims) const {
  for (std::size_t d = 0; d < index_.size(); ++d) {
    const std::int64_t begin = plan_->pad_left ? plan_->dims[d] - dims[d] : 0;
    if (index_[d] < begin || index_[d] >= begin + dims[d]) {
      return false;
    }
  }
  return true;
}

bool ShapeSteps::Write(Reply& reply) {
  for (Step step(reply); step.HasTime();) {
    if (cell_ == plan_->cells.size()) {
      return false;
    }
    reply.Copy(store::AsBytes(plan_->cells[cell_++].Shape()));
  }
  return true;
}

void ReadReply::KeepRead() {
  kept_ = std::move(*read_);
  read_ = &kept_;
}

// The command writes the first piece: if memory runs out, the client gets an error. Later pieces
// are sure to have space.
bool ReadReply::Write(Reply& reply) {
  for (Piece piece(reply, std::exchange(begun_, true)); piece.HasSpace();) {
    if (!WriteStep(reply)) {
      HandOverPins(*read_, reply);
      return false;
    }
  }
  return true;
}

void HandOverPins(store::ReadResult& read, Reply& reply) {
  for (store::ChunkRef& pin : read.pins) {
    reply.Hold(resp::Pin(pin.detach(), store::Chunk::ReleasePin));
  }
  read.pins.clear();
}

}  // namespace sluice::server
