// Partition: removal of rows and cells.
#include <algorithm>
#include <utility>

#include "store/partition/partition.h"
#include "store/partition/row_bytes.h"

namespace sluice::store {

Result<std::int64_t> Partition::ClearRows(const RowSet& rows, Revision revision) {
  std::vector<std::optional<std::uint32_t>> ids;
  ids.reserve(order_.size());
  for (const Field* const field : order_) {
    ids.emplace_back(field->Id());
  }
  TRY(LocateAll(rows, false));
  TRY(MakeAllWritable());
  const bool logged = places_.size() <= RemovalLog::kKept;
  removals_.Reserve(logged ? places_.size() : 0);
  const std::size_t before = Rows();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    PrefetchRowAhead(i, ids);
    const RowReference& place = places_[i];
    // A duplicate row is already removed, and its segment too if it was the last row.
    if (place.segment != nullptr && Locate(place.index).segment != nullptr) {
      RemoveRow(place, revision, logged);
    }
  }
  const std::size_t removed = before - Rows();
  if (removed > 0) {
    last_removal_ = revision;
  }
  if (!logged) {
    removals_.ForgetAll(revision);
  }
  for (std::size_t id = 0; id < fields_.size(); ++id) {
    if (fields_[id] != nullptr) {
      DropFieldIfEmpty(*fields_[id]);
    }
  }
  return static_cast<std::int64_t>(removed);
}

// What RemoveRow() reads. Looks each row up again: its segment was freed if this was its last row,
// named twice.
void Partition::PrefetchRowAhead(std::size_t position,
                                 std::span<const std::optional<std::uint32_t>> field_ids) noexcept {
  if (position + kPrefetchAhead < places_.size()) {
    Prefetch(places_[position + kPrefetchAhead].index, field_ids);
  }
  const std::size_t near = position + kPrefetchAhead / 2;
  const RowReference place = near < places_.size() ? Locate(places_[near].index) : RowReference();
  if (place.segment == nullptr) {
    return;
  }
  place.segment->At(place.offset).key.Prefetch();
  place.segment->At(place.offset).tag.Prefetch();
  for (const Field* const field : order_) {
    field->PrefetchChunk(place.segment->GetCell(field->Id(), place.offset));
  }
}

Result<std::int64_t> Partition::ClearCells(const RowSet& rows,
                                           std::span<const std::string_view> fields,
                                           Revision revision) {
  TRY(LocateAll(rows, false));
  TRY(MakeAllWritable());
  std::int64_t removed = 0;
  for (const std::string_view name : fields) {
    Field* const field = FindField(name);
    if (field == nullptr) {
      continue;
    }
    for (std::size_t i = 0; i < places_.size(); ++i) {
      PrefetchCellAhead(*field, i);
      const RowReference& place = places_[i];
      removed += place.segment != nullptr && ClearCell(*field, place, revision) ? 1 : 0;
    }
    DropFieldIfEmpty(*field);
  }
  return removed;
}

bool Partition::ClearCell(Field& field, const RowReference& place, Revision revision) noexcept {
  if (!RemoveCell(field, place)) {
    return false;
  }
  place.segment->SetRevision(place.offset, revision);
  NotifyChanged(std::span(&place, 1));
  return true;
}

bool Partition::RemoveCell(Field& field, const RowReference& place) noexcept {
  if (!place.segment->GetCell(field.Id(), place.offset).Held()) {
    return false;
  }
  const Cell old = std::exchange(place.segment->CellAt(field.Id(), place.offset), Cell());
  field.Unpoint(old);
  has_garbage = true;
  --field.held_cells;
  field.ready_cells -= old.Ready() ? 1 : 0;
  return true;
}

void Partition::RemoveRow(const RowReference& place, Revision revision, bool logged) noexcept {
  for (Field* const field : order_) {
    RemoveCell(*field, place);
  }
  Row& row = place.segment->At(place.offset);
  const std::int64_t bytes = BookkeepingBytes(row);
  row_bytes_ -= bytes;
  memory_.GetBudget().Release(bytes);
  ForgetKey(row.key.View(), place.index);
  if (logged) {
    removals_.Add(std::move(row.key), revision);
  }
  row = Row();
  NotifyRemoved(place);
  if (--place.segment->live_rows == 0) {
    segments_.erase(place.index / Segment::kRows);
  }
}

// Removes a field without cells, with its dtype.
void Partition::DropFieldIfEmpty(Field& field) noexcept {
  if (field.held_cells != 0) {
    return;
  }
  for (const auto& [number, segment] : segments_) {
    if (segment->IsMine()) {  // else the cells stay; none of them is ready
      segment->DropField(field.Id());
    }
  }
  ++fields_version_;
  order_.erase(std::find(order_.begin(), order_.end(), &field));
  fields_by_name_.erase(field.Name());
  fields_[field.Id()].reset();
}

}  // namespace sluice::store
