// Field: a column of a partition: its dtype, its chunks by number, and where small values go next.
// Which row has which cell stands in the segments.
//
// A chunk is kept while cells point at it (Chunk::holds) and goes with the last one; a reply that
// still needs it has a count of its own.
//
// Thread safety: one caller at a time (the engine).
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

// Which value a row has in a field: a slot of one of the field's chunks. 8 bytes.
struct Cell {
  static constexpr std::uint32_t kNoChunk = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::uint32_t kPending = std::uint32_t{1} << 31;
  std::uint32_t chunk = kNoChunk;  // number in the field's table
  std::uint32_t slot = 0;          // with kPending: KV.APPEND ... MORE still adds to it
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
  // REQUIRES: all chunks that cells point at have it, and none is open.
  void SetDType(DType dtype) { dtype_ = dtype; }
  // Place of the field's cells in every segment.
  [[nodiscard]] std::uint32_t Id() const { return id_; }
  [[nodiscard]] const ChunkRef& ChunkOf(Cell cell) const { return chunks_[cell.chunk]; }
  // Lets go of up to `count` chunks whoever points at them. True when none is left.
  // REQUIRES: the field's partition is being taken apart: no cell is looked at any more.
  bool DropChunks(std::size_t count) noexcept;

  // Takes the chunk in; no cell points at it yet. Errors: std::bad_alloc.
  std::uint32_t Add(ChunkRef chunk);
  // Copies one value to an open chunk; no cell points at it yet. Errors: kOom; std::bad_alloc.
  Result<Cell> Append(Memory& memory, Dims dims, std::string_view bytes);
  // Keeps the chunk for a moment although no cell points at it yet.
  void Hold(std::uint32_t chunk) noexcept { ++chunks_[chunk]->holds; }
  void Unhold(std::uint32_t chunk) noexcept;
  // A cell for each slot begins to point at it, the cells' flags being those of `first`.
  // REQUIRES: no cell points at this chunk yet. Errors: std::bad_alloc; nothing changed then.
  void PointAll(Cell first);

  // A cell begins or ends to point at its slot. Errors: std::bad_alloc; nothing changed then.
  void Point(Cell cell);
  void Unpoint(Cell cell) noexcept;

  // Bytes of the values that cells point at, each once however many do.
  [[nodiscard]] std::size_t StoredBytes() const { return stored_bytes_; }
  // What the dims of all ready cells have in common, -1 where they differ; nullopt where their
  // ranks differ, or there is none. Errors: std::bad_alloc.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> CommonDims() const;

  // How many rows have a cell here, and how many of the cells are ready; kept by the partition.
  std::int64_t held_cells = 0;
  std::int64_t ready_cells = 0;

  // Are values still appended to this chunk?
  [[nodiscard]] bool IsOpen(std::uint32_t chunk) const {
    return chunk == dense_.chunk || chunk == ragged_.chunk;
  }

 private:
  friend class Compaction;
  // Of small values of one shape, and of ragged ones.
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
  std::vector<std::uint32_t> free_;  // numbers to use again; its capacity is that of chunks_
  Open dense_;
  Open ragged_;
  std::size_t open_bytes_ = 0;  // of the chunk opened last

  std::size_t stored_bytes_ = 0;
  struct LessDims {
    using is_transparent = void;
    bool operator()(Dims a, Dims b) const { return std::ranges::lexicographical_compare(a, b); }
  };
  // Of the chunks that ready cells point at: how many dense ones have these dims, how many are
  // ragged.
  std::map<std::vector<std::int64_t>, std::size_t, LessDims> dense_shapes_;
  std::size_t ragged_chunks_ = 0;
};

}  // namespace sluice::store
