// Chunk: the bytes that one write brought for one field: `slots` values in a row in one blob.
//
//   dense    every slot has the same dims:  slot i is blob[base + i*slot_bytes, + slot_bytes)
//   ragged   each slot its own dims of the same rank; offsets and dims by slot lie in the chunk
//
// A byte-string value is a slot of rank 1: [its length]. An *open* chunk is the column's place for
// values under kSmallBytes: slots are appended until it is full. A slot is written before any cell
// points at it and never changes after, so readers need no lock for the slots they know. Several
// chunks may lie in one blob: the columns of a safetensors file, the stages of a growing cell.
//
// A slot is *live* while a cell points at it. The chunk keeps count, so that the bytes that nobody
// can reach any more are known: of a field (KV.FIELDS), and of a blob (compaction).
//
// Ownership: ChunkRef counts; the last one gives memory back, and the blob's run with it.
// Thread safety: as Blob; Append and what is said of live slots under the engine lock only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "store/memory/blob.h"
#include "store/tensor/column_source.h"
#include "store/tensor/dtype.h"
#include "store/tensor/shape.h"

namespace sluice::store {

// A column whose bytes total less than this is copied to the field's open chunk.
inline constexpr std::size_t kSmallBytes = 4096;

class Chunk;
using ChunkRef = boost::intrusive_ptr<Chunk>;

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
  [[nodiscard]] DType GetDType() const;
  [[nodiscard]] std::size_t Slots() const;
  [[nodiscard]] std::size_t Rank() const;
  [[nodiscard]] bool Ragged() const;
  [[nodiscard]] Dims DimsOf(std::size_t slot) const;
  [[nodiscard]] std::string_view BytesOf(std::size_t slot) const;

  // A cell begins or ends to point at the slot. Both return how many bytes of payload became live
  // (0: others point at it already), or ceased to be. Errors: std::bad_alloc.
  std::size_t PointAt(std::uint32_t slot);
  // At each of the first `slots`. REQUIRES: no cell points at any.
  std::size_t PointAtAll(std::size_t slots) noexcept;
  std::size_t UnpointAt(std::uint32_t slot) noexcept;
  [[nodiscard]] bool IsLive(std::uint32_t slot) const;
  // What UnpointAt(slot) would return. REQUIRES: a cell points at it.
  [[nodiscard]] std::size_t BytesHeldAlone(std::uint32_t slot) const;
  // A field of the store begins (1) or ends (-1) to hold the chunk: see Blob::AddHolder.
  void HoldBlob(int count) noexcept { blob_.AddHolder(count); }
  [[nodiscard]] Blob& GetBlob() { return blob_; }

  friend void intrusive_ptr_add_ref(Chunk* chunk) noexcept {
    chunk->count_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(Chunk* chunk) noexcept {
    if (chunk->count_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      Destroy(chunk);
    }
  }
  // For a Pin: releases the count that ChunkRef::detach() gave away.
  static void ReleasePin(void* chunk) noexcept {
    intrusive_ptr_release(static_cast<Chunk*>(chunk));
  }

  // How many cells, and the field itself for a moment, hold on to the chunk: kept by the field. At
  // 0 the field lets go of it.
  std::uint32_t holds = 0;
  // How many ready cells point here; kept by the field.
  std::uint32_t ready_cells = 0;

 private:
  // What is known of a chunk before its bytes are there.
  struct Plan {
    DType dtype = DType::kBool;
    bool ragged = false;
    std::uint8_t rank = 0;
    std::uint32_t capacity = 0;  // slots
    // Behind the chunk lie its numbers: `rank` dims, or, ragged, capacity + 1 offsets and then
    // capacity * rank dims; and behind them a bit a slot: is it live?
    [[nodiscard]] std::size_t NumberCount() const;
    [[nodiscard]] std::size_t LiveWords() const;
    [[nodiscard]] std::size_t HeapBytes() const;  // of all this: what the budget is charged
  };

  Chunk(Memory& memory, const Plan& plan) noexcept;
  ~Chunk() = default;
  static Result<ChunkRef> MakeEmpty(Memory& memory, const Plan& plan);
  static void Destroy(Chunk* chunk) noexcept;

  void SetShapes(const ColumnSource& source);
  [[nodiscard]] std::int64_t* Numbers();
  [[nodiscard]] const std::int64_t* Numbers() const;
  [[nodiscard]] std::uint64_t& LiveWord(std::uint32_t slot);
  [[nodiscard]] std::uint64_t LiveWord(std::uint32_t slot) const;
  [[nodiscard]] std::size_t BytesBefore(std::size_t slot) const;
  [[nodiscard]] std::size_t DimsBefore(std::size_t slot) const;

  std::atomic<std::uint32_t> count_{0};
  std::atomic<std::uint32_t> slots_{0};  // atomic, for a reader may ask while a slot is appended
  Plan plan_;
  std::size_t slot_bytes_ = 0;  // dense
  Memory& memory_;
  Blob blob_;
  const char* base_ = nullptr;
  // How many cells beyond the first point at a slot (DICT, SAME); null: no slot has more than one.
  using Sharers = boost::unordered_flat_map<std::uint32_t, std::uint32_t>;
  std::unique_ptr<Sharers> sharers_;
};

}  // namespace sluice::store
