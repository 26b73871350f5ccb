// Field: a column of a partition: its dtype, its chunks by number, and its open chunks for small
// values. The segments map rows to cells.
//
// A chunk is kept while cells point at it (Chunk::holds) and released with the last cell. A reply
// that still needs the chunk has its own reference.
//
// Thread safety: one caller at a time, which holds the engine lock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "base/text.h"
#include "store/tensor/chunk.h"

namespace sluice::store {

// The value of a row in a field: a slot of one of the field's chunks. 8 bytes.
struct Cell {
  static constexpr std::uint32_t kNoChunk = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::uint32_t kPending = std::uint32_t{1} << 31;
  std::uint32_t chunk = kNoChunk;  // number in the field's table
  std::uint32_t slot = 0;          // with kPending: KV.APPEND ... MORE is not finished
  [[nodiscard]] bool Held() const { return chunk != kNoChunk; }
  [[nodiscard]] bool Ready() const { return Held() && (slot & kPending) == 0; }
  [[nodiscard]] std::uint32_t Slot() const { return slot & ~kPending; }
  friend bool operator==(const Cell& a, const Cell& b) {
    return a.chunk == b.chunk && a.slot == b.slot;
  }
};

class Field {
 public:
  Field(Text name, DType dtype, std::uint32_t id)
      : name_(std::move(name)), dtype_(dtype), id_(id) {}

  [[nodiscard]] const Text& Name() const { return name_; }
  [[nodiscard]] DType GetDType() const { return dtype_; }
  // REQUIRES: all chunks that cells point at have this dtype, and no chunk is open.
  void SetDType(DType dtype) { dtype_ = dtype; }
  // Index of the field's cells in every segment.
  [[nodiscard]] std::uint32_t Id() const { return id_; }
  [[nodiscard]] const ChunkRef& ChunkOf(Cell cell) const { return chunks_[cell.chunk]; }
  // Prefetches the cell's chunk into the CPU cache. No effect if the cell is empty.
  void PrefetchChunk(Cell cell) const noexcept {
    if (cell.Held()) {
      __builtin_prefetch(chunks_[cell.chunk].get(), 1);
    }
  }
  // Releases up to `count` chunks, even if cells point at them. Returns true when none is left.
  // REQUIRES: the partition is being destroyed: no cell is read any more.
  bool DropChunks(std::size_t count) noexcept;

  // Adds a chunk that no cell points at yet and returns its number. Errors: std::bad_alloc.
  std::uint32_t Add(ChunkRef chunk);
  // Copies a value to an open chunk; no cell points at it yet. Errors: kOom; std::bad_alloc.
  Result<Cell> Append(Memory& memory, Dims dims, std::string_view bytes);
  // Keeps the chunk until Unhold(), even if no cell points at it.
  void Hold(std::uint32_t chunk) noexcept { ++chunks_[chunk]->holds; }
  void Unhold(std::uint32_t chunk) noexcept;
  // Counts one cell for each slot of the chunk, with the flags of `first`. REQUIRES: no cell points
  // at this chunk yet. Errors: std::bad_alloc; nothing has changed then.
  void PointAll(Cell first);

  // Counts or uncounts a cell that points at its slot. Errors: std::bad_alloc; nothing has changed.
  void Point(Cell cell);
  void Unpoint(Cell cell) noexcept;

  // Bytes of the values that cells point at; a shared value counts once.
  [[nodiscard]] std::size_t StoredBytes() const { return stored_bytes_; }
  // The common dims of all ready cells, -1 where they differ; nullopt if the ranks differ or no
  // cell is ready. Errors: std::bad_alloc.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> CommonDims() const;

  // Number of cells, and of ready cells; maintained by the partition.
  std::int64_t held_cells = 0;
  std::int64_t ready_cells = 0;

  // True if values are still appended to this chunk.
  [[nodiscard]] bool IsOpen(std::uint32_t chunk) const {
    return chunk == dense_.chunk || chunk == ragged_.chunk;
  }

 private:
  friend class Compaction;
  // The open chunk for small dense values (dense_) or small ragged values (ragged_).
  struct Open {
    std::uint32_t chunk = Cell::kNoChunk;
  };
  void CountShape(const Chunk& chunk);
  void UncountShape(const Chunk& chunk) noexcept;
  Result<Cell> AppendTo(Open& open, Memory& memory, const Chunk::OpenShape& shape,
                        std::string_view bytes, Dims dims);

  Text name_;
  DType dtype_;
  std::uint32_t id_;
  std::vector<ChunkRef> chunks_;
  std::vector<std::uint32_t> free_;  // chunk numbers to reuse; capacity is that of chunks_
  Open dense_;
  Open ragged_;
  std::size_t open_bytes_ = 0;  // size of the last chunk opened

  std::size_t stored_bytes_ = 0;
  struct LessDims {
    using is_transparent = void;
    bool operator()(Dims a, Dims b) const { return std::ranges::lexicographical_compare(a, b); }
  };
  // Of the chunks that ready cells point at: the number of dense ones by dims, and of ragged ones.
  std::map<std::vector<std::int64_t>, std::size_t, LessDims> dense_shapes_;
  std::size_t ragged_chunks_ = 0;
};

}  // namespace sluice::store
