// Chunk: the values that one write brings for one field: `slots` consecutive values in one blob.
//
//   dense    every slot has the same dims:  slot i is blob[base + i*slot_bytes, + slot_bytes)
//   ragged   each slot has its own dims of the same rank; the chunk stores offsets and dims by slot
//
// A byte-string value is a slot of rank 1: [its length]. An *open* chunk collects values under
// kSmallBytes: slots are appended until it is full. A slot is written before any cell points at it
// and never changes afterwards, so readers need no lock for the slots they know. Several chunks may
// share one blob: the columns of a safetensors file, the stages of a growing cell.
//
// A slot is *live* while a cell points at it. The chunk counts live bytes, so the unreachable bytes
// of a field (KV.FIELDS) and of a blob (compaction) are known.
//
// Ownership: ChunkRef is a counted reference. The last one frees the chunk and its blob reference.
// Thread safety: as Blob; Append and the functions about live slots require the engine lock.
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
  // Returns a closed chunk of all slots of `source`. Shares its blob, or copies its bytes to a new
  // one. REQUIRES: CheckColumn(source).ok(). Errors: kOom; std::bad_alloc.
  static Result<ChunkRef> Make(Memory& memory, const ColumnSource& source);
  // Returns an open, empty chunk for values of this dtype and rank: dense with `dims`, or ragged.
  // Errors: kOom; std::bad_alloc.
  struct OpenShape {
    DType dtype = DType::kBool;
    bool ragged = false;
    Dims dims;  // dense only
    std::size_t rank = 0;
    std::size_t bytes = 0;  // capacity for payload
  };
  static Result<ChunkRef> MakeOpen(Memory& memory, const OpenShape& shape);

  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  // Appends a slot to an open chunk. Returns false if the chunk is full, or if dims (dense) or rank
  // differ.
  [[nodiscard]] bool Append(Dims dims, std::string_view bytes) noexcept;
  [[nodiscard]] DType GetDType() const;
  [[nodiscard]] std::size_t Slots() const;
  [[nodiscard]] std::size_t Rank() const;
  [[nodiscard]] bool Ragged() const;
  [[nodiscard]] Dims DimsOf(std::size_t slot) const;
  [[nodiscard]] std::string_view BytesOf(std::size_t slot) const;

  // Count or uncount a cell that points at the slot. Return the payload bytes that became live (0
  // if other cells point at the slot) or ceased to be live. Errors: std::bad_alloc.
  std::size_t PointAt(std::uint32_t slot);
  // PointAt() for the first `slots` slots. REQUIRES: no cell points at any of them.
  std::size_t PointAtAll(std::size_t slots) noexcept;
  std::size_t UnpointAt(std::uint32_t slot) noexcept;
  [[nodiscard]] bool IsLive(std::uint32_t slot) const;
  // The value that UnpointAt(slot) would return. REQUIRES: a cell points at the slot.
  [[nodiscard]] std::size_t BytesHeldAlone(std::uint32_t slot) const;
  // A field of the store starts (1) or stops (-1) holding the chunk: see Blob::AddHolder.
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
  // For a Pin: releases the reference returned by ChunkRef::detach().
  static void ReleasePin(void* chunk) noexcept {
    intrusive_ptr_release(static_cast<Chunk*>(chunk));
  }

  // Number of cells that point at the chunk, plus Field::Hold() calls. Maintained by the field,
  // which releases the chunk at 0.
  std::uint32_t holds = 0;
  // Number of ready cells that point here; maintained by the field.
  std::uint32_t ready_cells = 0;

 private:
  // The properties of a chunk that are known before its bytes.
  struct Plan {
    DType dtype = DType::kBool;
    bool ragged = false;
    std::uint8_t rank = 0;
    std::uint32_t capacity = 0;  // slots
    // Memory after the Chunk object: `rank` dims (dense), or capacity + 1 offsets and then
    // capacity * rank dims (ragged); then one bit per slot, set if the slot is live.
    [[nodiscard]] std::size_t NumberCount() const;
    [[nodiscard]] std::size_t LiveWords() const;
    [[nodiscard]] std::size_t HeapBytes() const;  // total, charged to the memory budget
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
  std::atomic<std::uint32_t> slots_{0};  // atomic: read while a slot is appended
  Plan plan_;
  std::size_t slot_bytes_ = 0;  // dense
  Memory& memory_;
  Blob blob_;
  const char* base_ = nullptr;
  // Number of cells beyond the first per slot (DICT, SAME); null if no slot has more than one.
  using Sharers = boost::unordered_flat_map<std::uint32_t, std::uint32_t>;
  std::unique_ptr<Sharers> sharers_;
};

}  // namespace sluice::store
