// Compaction: copies the live values out of large, sparse blobs, so that the blobs can be freed. It
// walks all fields of all partitions in small steps:
//
//   engine lock   find sparse chunks
//   engine lock   find the cells that point at them
//   no lock       copy the values of these cells to one new chunk
//   engine lock   repoint to the copies the cells that did not change in the meantime
//
// The engine lock is held for one step at most. Clients cannot observe a move: revisions do not
// change, and replies that refer to the old blob keep it until they are sent.
//
// Thread safety: one caller at a time, which holds the engine lock if NeedsEngine() is true.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "store/partition/field.h"
#include "store/store.h"
#include "store/tensor/chunk.h"

namespace sluice::store {

class Partition;

class Compaction {
 public:
  // A blob of this size or more is sparse if less than 1 / kSparse of its bytes are live.
  static constexpr std::size_t kBlobBytesMin = std::size_t{64} * 1024;
  static constexpr std::size_t kSparse = 4;

  // `store` and `memory` are borrowed.
  Compaction(Store& store, Memory& memory) : store_(store), memory_(memory) {}

  [[nodiscard]] bool NeedsEngine() const { return state_ != State::kCopy; }
  // Runs one step. Returns false at the end of a walk; the next step then begins a new walk.
  bool Step();

  // Values moved since construction.
  [[nodiscard]] std::int64_t MovedValues() const { return moved_values_; }

 private:
  enum class State : std::uint8_t { kNextField, kFindChunks, kFindCells, kCopy, kSwap };
  struct Sparse {
    std::uint32_t number;  // in the field's table
    ChunkRef chunk;
  };
  struct Found {
    RowIndex index;
    ChunkRef chunk;  // the cell's chunk, and the slot in it
    std::uint32_t slot;
    std::uint32_t copy = 0;  // slot of the new chunk
  };

  bool Take();
  bool NextField();
  void FindChunks();
  void FindCells();
  void Copy();
  void Swap();
  void SwapCell(Partition& partition, Field& field, const Found& found);
  void Reset();
  // The current field; null if it was removed, or if another field has its name now.
  [[nodiscard]] Field* Current(Partition*& partition) const;

  Store& store_;
  Memory& memory_;
  State state_ = State::kNextField;
  std::string partition_;         // the current one
  std::int64_t incarnation_ = 0;  // of the partition
  std::uint32_t field_id_ = 0;    // in partition_
  Text field_name_;
  std::uint32_t next_chunk_ = 0;
  RowIndex next_segment_ = 0;
  std::vector<Sparse> sparse_;
  std::vector<Found> found_;
  std::size_t swapped_ = 0;  // of found_
  ChunkRef copies_;
  std::uint32_t copies_number_ = 0;  // in the field's table, once added
  std::int64_t moved_values_ = 0;
};

}  // namespace sluice::store
