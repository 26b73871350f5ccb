#include "store/partition/field.h"

#include <algorithm>
#include <utility>

namespace sluice::store {
namespace {

constexpr std::size_t kOpenBytesMin = std::size_t{4} * 1024;
constexpr std::size_t kOpenBytesMax = std::size_t{64} * 1024;

}  // namespace

std::uint32_t Field::Add(ChunkRef chunk) {
  const auto take_in = [this](std::uint32_t number) {
    chunks_[number]->HoldBlob(1);
    return number;
  };
  if (!free_.empty()) {
    const std::uint32_t number = free_.back();
    free_.pop_back();
    chunks_[number] = std::move(chunk);
    return take_in(number);
  }
  if (chunks_.size() == chunks_.capacity()) {
    const std::size_t capacity = std::max<std::size_t>(4, chunks_.capacity() * 2);
    free_.reserve(capacity);  // so that freeing a number cannot fail
    chunks_.reserve(capacity);
  }
  chunks_.push_back(std::move(chunk));
  return take_in(static_cast<std::uint32_t>(chunks_.size() - 1));
}

Result<Cell> Field::Append(Memory& memory, Dims dims, std::string_view bytes) {
  const bool has_dense = dense_.chunk != Cell::kNoChunk;
  const Dims usual = has_dense ? chunks_[dense_.chunk]->DimsOf(0) : Dims();
  const bool is_dense =
      !IsByteString(dtype_) &&
      (!has_dense || std::equal(usual.begin(), usual.end(), dims.begin(), dims.end()));
  const Chunk::OpenShape shape = {
      .dtype = dtype_, .ragged = !is_dense, .dims = dims, .rank = dims.size()};
  return AppendTo(is_dense ? dense_ : ragged_, memory, shape, bytes, dims);
}

Result<Cell> Field::AppendTo(Open& open, Memory& memory, const Chunk::OpenShape& shape,
                             std::string_view bytes, Dims dims) {
  if (open.chunk == Cell::kNoChunk || !chunks_[open.chunk]->Append(dims, bytes)) {
    Chunk::OpenShape bigger = shape;
    bigger.bytes = std::clamp(open_bytes_ * 2, kOpenBytesMin, kOpenBytesMax);
    TRY_ASSIGN(ChunkRef fresh, Chunk::MakeOpen(memory, bigger));
    const bool fits = fresh->Append(dims, bytes);
    assert(fits);
    static_cast<void>(fits);
    const std::uint32_t number = Add(std::move(fresh));
    open_bytes_ = bigger.bytes;
    open.chunk = number;
  }
  return Cell{.chunk = open.chunk,
              .slot = static_cast<std::uint32_t>(chunks_[open.chunk]->Slots() - 1)};
}

bool Field::DropChunks(std::size_t count) noexcept {
  for (; count > 0 && !chunks_.empty(); --count) {
    if (chunks_.back()) {
      chunks_.back()->HoldBlob(-1);
    }
    chunks_.pop_back();
  }
  return chunks_.empty();
}

void Field::Unhold(std::uint32_t chunk) noexcept {
  if (--chunks_[chunk]->holds != 0) {
    return;
  }
  for (Open* const open : {&dense_, &ragged_}) {
    if (open->chunk == chunk) {
      open->chunk = Cell::kNoChunk;  // its slots may be in use by readers: never rewritten
    }
  }
  chunks_[chunk]->HoldBlob(-1);
  chunks_[chunk] = ChunkRef();
  free_.push_back(chunk);
}

void Field::Point(Cell cell) {
  Chunk& chunk = *chunks_[cell.chunk];
  if (cell.Ready() && chunk.ready_cells == 0) {
    CountShape(chunk);
  }
  try {
    stored_bytes_ += chunk.PointAt(cell.Slot());
  } catch (...) {
    if (cell.Ready() && chunk.ready_cells == 0) {
      UncountShape(chunk);
    }
    throw;
  }
  chunk.ready_cells += cell.Ready() ? 1 : 0;
  ++chunk.holds;
}

void Field::PointAll(Cell first) {
  Chunk& chunk = *chunks_[first.chunk];
  if (first.Ready()) {
    CountShape(chunk);
  }
  const std::size_t slots = chunk.Slots();
  stored_bytes_ += chunk.PointAtAll(slots);
  chunk.ready_cells += first.Ready() ? static_cast<std::uint32_t>(slots) : 0;
  chunk.holds += static_cast<std::uint32_t>(slots);
}

void Field::Unpoint(Cell cell) noexcept {
  Chunk& chunk = *chunks_[cell.chunk];
  stored_bytes_ -= chunk.UnpointAt(cell.Slot());
  if (cell.Ready() && --chunk.ready_cells == 0) {
    UncountShape(chunk);
  }
  Unhold(cell.chunk);
}

void Field::CountShape(const Chunk& chunk) {
  if (chunk.Ragged()) {
    ++ragged_chunks_;
    return;
  }
  const Dims dims = chunk.DimsOf(0);
  auto it = dense_shapes_.find(dims);
  if (it == dense_shapes_.end()) {
    it = dense_shapes_.emplace(std::vector<std::int64_t>(dims.begin(), dims.end()), 0).first;
  }
  ++it->second;
}

void Field::UncountShape(const Chunk& chunk) noexcept {
  if (chunk.Ragged()) {
    --ragged_chunks_;
    return;
  }
  const auto it = dense_shapes_.find(chunk.DimsOf(0));
  if (--it->second == 0) {
    dense_shapes_.erase(it);
  }
}

std::optional<std::vector<std::int64_t>> Field::CommonDims() const {
  if (IsByteString(dtype_) && ready_cells > 0) {
    return std::vector<std::int64_t>{-1};  // even if all lengths are equal
  }
  CommonShape common;
  for (const auto& [dims, chunks] : dense_shapes_) {
    common.Add(dims);
  }
  for (std::size_t i = 0; ragged_chunks_ > 0 && i < chunks_.size(); ++i) {
    const Chunk* const chunk = chunks_[i].get();
    if (chunk == nullptr || !chunk->Ragged() || chunk->ready_cells == 0) {
      continue;
    }
    const auto slots = static_cast<std::uint32_t>(chunk->Slots());
    for (std::uint32_t slot = 0; slot < slots && !common.IsFinal(chunk->Rank()); ++slot) {
      if (chunk->IsLive(slot)) {
        common.Add(chunk->DimsOf(slot));
      }
    }
  }
  return std::move(common).Take();
}

}  // namespace sluice::store
