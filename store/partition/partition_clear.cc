// Partition: removal of rows and cells.
#include <algorithm>
#include <utility>

#include "store/partition/partition.h"
#include "store/partition/row_bytes.h"

namespace sluice::store {

Result<std::int64_t> Partition::ClearRows(const RowSet& rows, Revision revision) {
  TRY(LocateAll(rows, false));
  TRY(MakeAllWritable());
  const bool logged = places_.size() <= RemovalLog::kKept;
  removals_.Reserve(logged ? places_.size() : 0);
  const std::size_t before = Rows();
  PrefetchPlaces();
  for (const RowReference& place : places_) {
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

// Rows of a large partition are far apart in memory: prefetches what RemoveRow() reads of all rows.
void Partition::PrefetchPlaces() const noexcept {
  for (const RowReference& place : places_) {
    if (place.segment != nullptr) {
      place.segment->Prefetch(place.offset);
      for (const Field* const field : order_) {
        place.segment->PrefetchCell(field->Id(), place.offset);
      }
    }
  }
  for (const RowReference& place : places_) {
    if (place.segment != nullptr) {
      place.segment->At(place.offset).key.Prefetch();
      place.segment->At(place.offset).tag.Prefetch();
    }
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
    for (const RowReference& place : places_) {
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
