// Field: a column of a partition: its dtype, its chunks by number, and where small values go next.
// Which row has which cell stands in the segments.
//
// A chunk is kept while cells point at it (Chunk::live_cells) and goes with the last one; a reply
// that still needs it has a count of its own.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "store/chunk.h"
#include "store/text.h"

namespace sluice::store {

// Which value a row has in a field: a slot of one of the field's chunks. 8 bytes.
struct Cell {
  static constexpr std::uint32_t kNoChunk = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t chunk = kNoChunk;  // number in the field's table
  std::uint32_t slot = 0;
  [[nodiscard]] bool Ready() const { return chunk != kNoChunk; }
};

class Field {
 public:
  Field(Text name, DType dtype, std::uint32_t id)
      : name_(std::move(name)), dtype_(dtype), id_(id) {}

  [[nodiscard]] const Text& Name() const { return name_; }
  [[nodiscard]] DType GetDType() const { return dtype_; }
  // Place of the field's cells in every segment.
  [[nodiscard]] std::uint32_t Id() const { return id_; }
  [[nodiscard]] const ChunkRef& ChunkOf(Cell cell) const { return chunks_[cell.chunk]; }

  // Takes the chunk in; no cell points at it yet. Errors: std::bad_alloc.
  std::uint32_t Add(ChunkRef chunk);
  // Copies one value to an open chunk; no cell points at it yet. Errors: kOom; std::bad_alloc.
  Result<Cell> Append(Memory& memory, Dims dims, std::string_view bytes);
  // Of a chunk that was added or appended to and got no cell.
  void DropIfUnused(std::uint32_t chunk) noexcept;

  // A cell begins or ends to point at its chunk.
  void Point(Cell cell) noexcept { ++chunks_[cell.chunk]->live_cells; }
  void Unpoint(Cell cell) noexcept;

  // How many rows have a cell here; kept by the partition.
  std::int64_t ready_cells = 0;

 private:
  // Of small values of one shape, and of ragged ones.
  struct Open {
    std::uint32_t chunk = Cell::kNoChunk;
  };
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
};

}  // namespace sluice::store
