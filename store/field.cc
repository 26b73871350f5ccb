#include "store/field.h"

#include <algorithm>
#include <utility>

namespace sluice::store {
namespace {

constexpr std::size_t kOpenBytesMin = std::size_t{4} * 1024;
constexpr std::size_t kOpenBytesMax = std::size_t{64} * 1024;

}  // namespace

std::uint32_t Field::Add(ChunkRef chunk) {
  if (!free_.empty()) {
    const std::uint32_t number = free_.back();
    free_.pop_back();
    chunks_[number] = std::move(chunk);
    return number;
  }
  if (chunks_.size() == chunks_.capacity()) {
    const std::size_t capacity = std::max<std::size_t>(4, chunks_.capacity() * 2);
    free_.reserve(capacity);  // so that giving a number back never fails
    chunks_.reserve(capacity);
  }
  chunks_.push_back(std::move(chunk));
  return static_cast<std::uint32_t>(chunks_.size() - 1);
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
    if (const std::uint32_t full = std::exchange(open.chunk, number); full != Cell::kNoChunk) {
      DropIfUnused(full);
    }
  }
  return Cell{.chunk = open.chunk,
              .slot = static_cast<std::uint32_t>(chunks_[open.chunk]->Slots() - 1)};
}

void Field::DropIfUnused(std::uint32_t chunk) noexcept {
  if (!chunks_[chunk] || chunks_[chunk]->live_cells != 0) {
    return;
  }
  for (Open* const open : {&dense_, &ragged_}) {
    if (open->chunk == chunk) {
      open->chunk = Cell::kNoChunk;  // a reader may know its slots: they are not written again
    }
  }
  chunks_[chunk] = ChunkRef();
  free_.push_back(chunk);
}

void Field::Unpoint(Cell cell) noexcept {
  --chunks_[cell.chunk]->live_cells;
  DropIfUnused(cell.chunk);
}

}  // namespace sluice::store
