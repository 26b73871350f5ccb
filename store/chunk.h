// Chunk: the bytes that one write brought for one field: `slots` values in a row in one blob.
//
//   dense    every slot has the same dims:  slot i is blob[base + i*slot_bytes, + slot_bytes)
//   ragged   each slot its own dims of the same rank; offsets and dims by slot lie in the chunk
//
// A byte-string value is a slot of rank 1: [its length]. An *open* chunk is the column's place for
// values under kSmallBytes: slots are appended until it is full. A slot is written before any cell
// points at it and never changes after, so readers need no lock for the slots they know.
//
// Ownership: ChunkRef counts; the last one gives memory back, and the blob's run with it.
// Thread safety: as Blob; Append and Truncate under the engine lock only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "store/blob.h"
#include "store/column_source.h"
#include "store/dtype.h"
#include "store/shape.h"

namespace sluice::store {

// A column whose bytes total less than this is copied to the field's open chunk.
inline constexpr std::size_t kSmallBytes = 4096;

class Chunk;

class ChunkRef {
 public:
  ChunkRef() = default;
  explicit ChunkRef(Chunk* adopted) : chunk_(adopted) {}  // takes over one count
  ChunkRef(const ChunkRef& other) noexcept;
  ChunkRef(ChunkRef&& other) noexcept : chunk_(std::exchange(other.chunk_, nullptr)) {}
  ChunkRef& operator=(ChunkRef other) noexcept {
    std::swap(chunk_, other.chunk_);
    return *this;
  }
  ~ChunkRef();
  [[nodiscard]] Chunk* get() const { return chunk_; }
  Chunk* operator->() const { return chunk_; }
  explicit operator bool() const { return chunk_ != nullptr; }
  [[nodiscard]] Chunk* Detach() {
    return std::exchange(chunk_, nullptr);
  }  // the caller has the count now

 private:
  Chunk* chunk_ = nullptr;
};

class Chunk {
 public:
  // A closed chunk of all slots of `source`; takes its blob, or copies its bytes to one.
  // REQUIRES: CheckColumn(source).ok(). Errors: kOom; std::bad_alloc.
  static Result<ChunkRef> Make(Memory& memory, const ColumnSource& source);
  // An open, empty chunk for values of this dtype and rank: dense with `dims`, or ragged.
  // Errors: kOom; std::bad_alloc.
  struct OpenShape {
    DType dtype = DType::kBool;
    bool ragged = false;
    Dims dims;  // dense only
    std::size_t rank = 0;
    std::size_t bytes = 0;  // room for payload
  };
  static Result<ChunkRef> MakeOpen(Memory& memory, const OpenShape& shape);

  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  // Appends a slot to an open chunk. False where it does not fit: no room, other dims (dense),
  // other rank.
  [[nodiscard]] bool Append(Dims dims, std::string_view bytes) noexcept;
  // Takes back slots from `slots` on. REQUIRES: no cell or reader knows them.
  void Truncate(std::size_t slots) noexcept;

  [[nodiscard]] DType GetDType() const;
  [[nodiscard]] std::size_t Slots() const;
  [[nodiscard]] std::size_t Rank() const;
  [[nodiscard]] bool Ragged() const;
  [[nodiscard]] Dims DimsOf(std::size_t slot) const;
  [[nodiscard]] std::string_view BytesOf(std::size_t slot) const;

  // One count, for a Pin that is released with ReleasePin(this).
  void Retain() noexcept;
  static void ReleasePin(void* chunk) noexcept;

  // How many cells point here: kept by the field, under the engine lock. At 0 the field lets go of
  // it.
  std::uint32_t live_cells = 0;

 private:
  // What is known of a chunk before its bytes are there.
  struct Plan {
    DType dtype = DType::kBool;
    bool ragged = false;
    std::uint8_t rank = 0;
    std::uint32_t capacity = 0;  // slots
    // Of the chunk and the numbers behind it: `rank` dims, or, ragged, capacity + 1 offsets and
    // then capacity * rank dims. This is what the budget is charged.
    [[nodiscard]] std::size_t HeapBytes() const;
  };

  Chunk(Memory& memory, const Plan& plan) noexcept;
  ~Chunk() = default;
  static Result<ChunkRef> MakeEmpty(Memory& memory, const Plan& plan);
  static void Destroy(Chunk* chunk) noexcept;

  void SetShapes(const ColumnSource& source);
  [[nodiscard]] std::int64_t* Numbers();
  [[nodiscard]] const std::int64_t* Numbers() const;
  [[nodiscard]] std::size_t BytesBefore(std::size_t slot) const;
  [[nodiscard]] std::size_t DimsBefore(std::size_t slot) const;

  std::atomic<std::uint32_t> count_{1};
  std::atomic<std::uint32_t> slots_{0};  // atomic, for a reader may ask while a slot is appended
  Plan plan_;
  std::size_t slot_bytes_ = 0;  // dense
  Memory& memory_;
  Blob blob_;
  const char* base_ = nullptr;
};

}  // namespace sluice::store
