// Compaction: where few live values keep a large blob alive, they are copied out, so that the blob
// can go. A walk over all fields of all partitions, a little at a time:
//
//   engine   look at some chunks: which are sparse?
//   engine   look at some segments: which cells point at those?
//   -        copy their values to one new chunk
//   engine   some cells that still point where they did point at the copies
//
// Nobody waits for longer than one such step, and nobody can tell that a value has moved: revisions
// stay, and replies that refer to the old blob keep it until they are sent.
//
// Thread safety: one caller at a time, which holds the engine where NeedsEngine() says so.
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
  // A blob of this size or more is sparse where less than one in kSparse of its bytes is live.
  static constexpr std::size_t kBlobBytesMin = std::size_t{64} * 1024;
  static constexpr std::size_t kSparse = 4;

  // `store` and `memory` are borrowed.
  Compaction(Store& store, Memory& memory) : store_(store), memory_(memory) {}

  [[nodiscard]] bool NeedsEngine() const { return state_ != State::kCopy; }
  // One step. False: a walk has come to its end; the next step begins another.
  bool Step();

  // Values moved since the beginning.
  [[nodiscard]] std::int64_t MovedValues() const { return moved_values_; }

 private:
  enum class State : std::uint8_t { kNextField, kFindChunks, kFindCells, kCopy, kSwap };
  struct Sparse {
    std::uint32_t number;  // in the field's table
    ChunkRef chunk;
  };
  struct Found {
    RowIndex index;
    ChunkRef chunk;  // where the row's cell points, and at which slot
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
  // The field that is being looked at; null where it is gone, or another has its name.
  [[nodiscard]] Field* Current(Partition*& partition) const;

  Store& store_;
  Memory& memory_;
  State state_ = State::kNextField;
  std::string partition_;       // that is being looked at
  Revision made_ = 0;           // when it was made
  std::uint32_t field_id_ = 0;  // in it
  Text field_name_;
  std::uint32_t next_chunk_ = 0;
  RowIndex next_segment_ = 0;
  std::vector<Sparse> sparse_;
  std::vector<Found> found_;
  std::size_t swapped_ = 0;  // of found_
  ChunkRef copies_;
  std::uint32_t copies_number_ = 0;  // in the field's table, once it is there
  std::int64_t moved_values_ = 0;
};

}  // namespace sluice::store
