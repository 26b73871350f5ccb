#include "store/compaction.h"

#include <algorithm>
#include <map>
#include <new>
#include <utility>

#include "store/partition/partition.h"

namespace sluice::store {
namespace {

// Batch sizes of one step: some tens of microseconds.
constexpr std::size_t kChunksAtOnce = 1024;
constexpr std::size_t kSegmentsAtOnce = 8;
constexpr std::size_t kCellsAtOnce = 256;
// The most that one round moves.
constexpr std::size_t kBytesMax = std::size_t{1} << 20;
constexpr std::size_t kCellsMax = 16384;

bool IsSparse(Chunk& chunk) {
  const Blob& blob = chunk.GetBlob();
  return blob.size() >= Compaction::kBlobBytesMin &&
         blob.LiveBytes() < blob.size() / Compaction::kSparse;
}

}  // namespace

bool Compaction::Step() {
  try {
    return Take();
  } catch (const std::bad_alloc&) {
    Reset();
    return false;  // retry in a later walk
  }
}

bool Compaction::Take() {
  switch (state_) {
    case State::kNextField:
      return NextField();
    case State::kFindChunks:
      FindChunks();
      return true;
    case State::kFindCells:
      FindCells();
      return true;
    case State::kCopy:
      Copy();
      return true;
    case State::kSwap:
      Swap();
      return true;
  }
  return true;
}

// Moves to the next field of the partition, or to the first field of the next partition with
// garbage. Returns false after the last.
bool Compaction::NextField() {
  Reset();
  Partition* partition = store_.PartitionFrom(partition_);
  bool entered = partition != nullptr && partition->Name().View() == partition_ &&
                 partition->Incarnation() == incarnation_;
  field_id_ = entered ? field_id_ + 1 : 0;
  while (partition != nullptr) {
    if (entered || std::exchange(partition->has_garbage, false)) {
      while (field_id_ < partition->fields_.size() && partition->fields_[field_id_] == nullptr) {
        ++field_id_;
      }
      if (field_id_ < partition->fields_.size()) {
        partition_ = partition->Name().View();
        incarnation_ = partition->Incarnation();
        field_name_ = partition->fields_[field_id_]->Name();
        state_ = State::kFindChunks;
        return true;
      }
    }
    partition_ = partition->Name().View();
    partition_ += '\0';  // the smallest string after this name
    partition = store_.PartitionFrom(partition_);
    entered = false;
    field_id_ = 0;
  }
  partition_.clear();
  incarnation_ = 0;
  return false;
}

void Compaction::Reset() {
  state_ = State::kNextField;
  next_chunk_ = 0;
  next_segment_ = 0;
  sparse_.clear();
  found_.clear();
  swapped_ = 0;
  copies_ = ChunkRef();
}

Field* Compaction::Current(Partition*& partition) const {
  partition = store_.PartitionFrom(partition_);
  if (partition == nullptr || partition->Name().View() != partition_ ||
      partition->Incarnation() != incarnation_ || field_id_ >= partition->fields_.size()) {
    return nullptr;
  }
  Field* const field = partition->fields_[field_id_].get();
  return field != nullptr && field->Name().View() == field_name_.View() ? field : nullptr;
}

void Compaction::FindChunks() {
  Partition* partition = nullptr;
  Field* const field = Current(partition);
  if (field == nullptr) {
    Reset();
    return;
  }
  std::size_t bytes = 0;
  std::size_t cells = 0;
  for (const Sparse& sparse : sparse_) {
    bytes += sparse.chunk->GetBlob().LiveBytes();
    cells += sparse.chunk->holds;
  }
  const std::size_t end = std::min(field->chunks_.size(), next_chunk_ + kChunksAtOnce);
  for (; next_chunk_ < end && bytes < kBytesMax && cells < kCellsMax; ++next_chunk_) {
    const ChunkRef& chunk = field->chunks_[next_chunk_];
    const bool alike = chunk && (sparse_.empty() || chunk->Rank() == sparse_[0].chunk->Rank());
    if (alike && !field->IsOpen(next_chunk_) && IsSparse(*chunk)) {
      sparse_.push_back({.number = next_chunk_, .chunk = chunk});
      bytes += chunk->GetBlob().LiveBytes();
      cells += chunk->holds;
    }
  }
  if (next_chunk_ == field->chunks_.size() || bytes >= kBytesMax || cells >= kCellsMax) {
    state_ = sparse_.empty() ? State::kNextField : State::kFindCells;
  }
}

void Compaction::FindCells() {
  Partition* partition = nullptr;
  Field* const field = Current(partition);
  if (field == nullptr) {
    Reset();
    return;
  }
  auto it = partition->segments_.lower_bound(next_segment_);
  for (std::size_t i = 0; i < kSegmentsAtOnce && it != partition->segments_.end(); ++i, ++it) {
    const Segment& segment = *it->second;
    segment.ForEach(0, 0, [&](std::uint32_t offset, const Row& /*row*/) {
      const Cell cell = segment.GetCell(field_id_, offset);
      const auto sparse =
          std::lower_bound(sparse_.begin(), sparse_.end(), cell.chunk,
                           [](const Sparse& s, std::uint32_t number) { return s.number < number; });
      // The number may have been reused for another chunk.
      if (cell.Ready() && sparse != sparse_.end() && sparse->number == cell.chunk &&
          field->chunks_[cell.chunk].get() == sparse->chunk.get()) {
        found_.push_back({.index = segment.Number() * Segment::kRows + offset,
                          .chunk = sparse->chunk,
                          .slot = cell.Slot()});
      }
    });
  }
  if (it == partition->segments_.end()) {
    state_ = found_.empty() ? State::kNextField : State::kCopy;
  } else {
    next_segment_ = it->first;
  }
}

// Copies each value once, even if several cells share it.
void Compaction::Copy() {
  std::map<std::pair<const Chunk*, std::uint32_t>, std::uint32_t> copies;
  std::vector<std::int64_t> dims;
  std::size_t bytes = 0;
  std::vector<std::pair<const Chunk*, std::uint32_t>> values;
  for (Found& found : found_) {
    const std::pair value(static_cast<const Chunk*>(found.chunk.get()), found.slot);
    const auto [it, inserted] = copies.emplace(value, static_cast<std::uint32_t>(values.size()));
    found.copy = it->second;
    if (inserted) {
      const Dims of_value = found.chunk->DimsOf(found.slot);
      dims.insert(dims.end(), of_value.begin(), of_value.end());
      bytes += found.chunk->BytesOf(found.slot).size();
      values.push_back(value);
    }
  }
  Blob blob = memory_.Allocate(bytes, Budget::kOverdraftBytes);
  if (blob.IsNull()) {
    Reset();
    return;
  }
  std::size_t at = 0;
  for (const auto& [chunk, slot] : values) {
    const std::string_view value = chunk->BytesOf(slot);
    at = static_cast<std::size_t>(std::copy(value.begin(), value.end(), blob.data() + at) -
                                  blob.data());
  }
  const std::size_t rank = found_.front().chunk->Rank();
  const auto made = Chunk::Make(memory_, {.field = field_name_.View(),
                                          .dtype = found_.front().chunk->GetDType(),
                                          .slots = values.size(),
                                          .ragged = true,
                                          .rank = rank,
                                          .dims = dims,
                                          .bytes = {blob.data(), bytes},
                                          .blob = blob});
  if (!made.ok()) {
    Reset();
    return;
  }
  copies_ = *made;
  copies_number_ = Cell::kNoChunk;
  state_ = State::kSwap;
}

void Compaction::Swap() {
  Partition* partition = nullptr;
  Field* const field = Current(partition);
  if (field == nullptr) {
    Reset();
    return;
  }
  if (copies_number_ == Cell::kNoChunk) {
    copies_number_ = field->Add(copies_);
    field->Hold(copies_number_);
  } else if (field->chunks_.size() <= copies_number_ ||
             field->chunks_[copies_number_].get() != copies_.get()) {
    Reset();  // the field was replaced by another of this name, and the copies are gone
    return;
  }
  const std::size_t end = std::min(found_.size(), swapped_ + kCellsAtOnce);
  try {
    for (; swapped_ < end; ++swapped_) {
      SwapCell(*partition, *field, found_[swapped_]);
    }
  } catch (const std::bad_alloc&) {
    swapped_ = found_.size();  // the remaining cells are not moved
  }
  if (swapped_ == found_.size()) {
    field->Unhold(copies_number_);
    Reset();
  }
}

void Compaction::SwapCell(Partition& partition, Field& field, const Found& found) {
  RowReference place = partition.Locate(found.index);
  if (place.segment == nullptr) {
    return;
  }
  const Cell old = place.segment->GetCell(field_id_, place.offset);
  if (!old.Ready() || old.Slot() != found.slot ||
      field.chunks_[old.chunk].get() != found.chunk.get() ||
      !partition.MakeWritable(place, Budget::kOverdraftBytes).ok()) {
    return;  // the cell was written since, or there is no memory to copy the segment
  }
  const Cell copy = {.chunk = copies_number_, .slot = found.copy};
  field.Point(copy);
  place.segment->CellAt(field_id_, place.offset) = copy;
  field.Unpoint(old);
  ++moved_values_;
}

}  // namespace sluice::store
