#include "store/partition.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace sluice::store {

std::int64_t BookkeepingBytes(const Row& row);  // partition_write.cc

Partition::Partition(Text name, Memory& memory, std::uint64_t seed)
    : name_(std::move(name)),
      memory_(memory),
      indexes_(0, TextHash{seed}),
      fields_by_name_(0, TextHash{seed}) {}

Partition::~Partition() {
  std::int64_t bytes = 0;
  for (const auto& [number, segment] : segments_) {
    segment->ForEach(
        [&bytes](std::uint32_t /*offset*/, const Row& row) { bytes += BookkeepingBytes(row); });
  }
  memory_.GetBudget().Release(bytes);
}

RowPlace Partition::Locate(RowIndex index) {
  if (index < 0 || index >= next_index_) {
    return {};
  }
  const auto it = segments_.find(index / Segment::kRows);
  const auto offset = static_cast<std::uint32_t>(index % Segment::kRows);
  if (it == segments_.end() || it->second->Find(offset) == nullptr) {
    return {};
  }
  return {.segment = it->second.get(), .offset = offset, .index = index};
}

RowPlace Partition::Locate(std::string_view key) {
  const auto found = indexes_.find(key);
  if (found == indexes_.end()) {
    return {};
  }
  const RowIndex index = found->second;
  return {.segment = segments_.find(index / Segment::kRows)->second.get(),
          .offset = static_cast<std::uint32_t>(index % Segment::kRows),
          .index = index};
}

// Fills places_. Errors, where strict: kNoKey for the first that is missing.
Status Partition::LocateAll(const RowSet& rows, bool strict) {
  places_.clear();
  const std::size_t count = rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    const RowPlace place =
        rows.kind == RowSet::Kind::kKeys ? Locate(rows.keys[i]) : Locate(rows.indexes[i]);
    if (strict && place.segment == nullptr) {
      return NoRow(rows, i);
    }
    places_.push_back(place);
  }
  return {};
}

Field* Partition::FindField(std::string_view name) {
  const auto it = fields_by_name_.find(name);
  return it == fields_by_name_.end() ? nullptr : it->second;
}

Status Partition::NoRow(const RowSet& rows, std::size_t position) const {
  return Status(Code::kNoKey, rows.kind == RowSet::Kind::kKeys
                                  ? fmt::format("partition '{}' has no row '{}'", name_.View(),
                                                rows.keys[position])
                                  : fmt::format("partition '{}' has no row with index {}",
                                                name_.View(), rows.indexes[position]));
}

Status Partition::NotReady(const Field& field, const RowPlace& row) const {
  return Status(Code::kNotReady, fmt::format("field '{}' of row '{}' of partition '{}' is not ready",
                                             field.Name().View(),
                                             row.segment->At(row.offset).key.View(), name_.View()));
}

Status Partition::Read(const ReadRequest& request, ReadResult& result) {
  TRY(LocateAll(request.rows, request.strict));
  for (const RowPlace& place : places_) {
    result.indexes.push_back(place.index);
  }
  if (request.all_fields) {
    return ReadAllFields(request.strict, result);
  }
  for (const std::string_view name : request.fields) {
    if (FindField(name) == nullptr) {
      return Status(Code::kNoField,
                    fmt::format("partition '{}' has no field '{}'", name_.View(), name));
    }
  }
  for (const std::string_view name : request.fields) {
    TRY(ReadField(*FindField(name), request.strict, result));
  }
  return {};
}

// Strict: those that are ready in all rows; otherwise every field.
Status Partition::ReadAllFields(bool strict, ReadResult& result) {
  for (Field* const field : order_) {
    const bool wanted = !strict || ReadyInAll(*field);
    Status status = wanted ? ReadField(*field, strict, result) : Status();
    if (!status.ok()) {
      return status;
    }
  }
  return {};
}

bool Partition::ReadyInAll(const Field& field) const {
  return std::all_of(places_.begin(), places_.end(), [&field](const RowPlace& place) {
    return place.segment->GetCell(field.Id(), place.offset).Ready();
  });
}

Status Partition::ReadField(Field& field, bool strict, ReadResult& result) {
  result.columns.push_back({.name = field.Name(), .dtype = field.GetDType()});
  const Chunk* pinned = nullptr;
  for (const RowPlace& place : places_) {
    const Cell cell =
        place.segment == nullptr ? Cell() : place.segment->GetCell(field.Id(), place.offset);
    if (!cell.Ready()) {
      if (strict) {
        return NotReady(field, place);
      }
      result.cells.emplace_back();
      continue;
    }
    const ChunkRef& chunk = field.ChunkOf(cell);
    if (chunk.get() != pinned) {
      result.pins.push_back(chunk);
      pinned = chunk.get();
    }
    result.cells.push_back({.chunk = pinned, .slot = cell.slot});
  }
  return {};
}

void Partition::Tags(const RowSet& rows, std::vector<Text>& tags) {
  const Status status = LocateAll(rows, false);
  static_cast<void>(status);  // not strict: always ok
  static const Text none("{}");
  for (const RowPlace& place : places_) {
    const Text tag = place.segment == nullptr ? Text() : place.segment->At(place.offset).tag;
    tags.push_back(place.segment != nullptr && tag.IsNull() ? none : tag);
  }
}

std::int64_t Partition::ClearRows(const RowSet& rows) {
  const std::size_t before = indexes_.size();
  const std::size_t count = rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    const RowPlace place =
        rows.kind == RowSet::Kind::kKeys ? Locate(rows.keys[i]) : Locate(rows.indexes[i]);
    if (place.segment != nullptr) {
      RemoveRow(place);
    }
  }
  for (std::size_t id = 0; id < fields_.size(); ++id) {
    if (fields_[id] != nullptr) {
      DropFieldIfEmpty(*fields_[id]);
    }
  }
  return static_cast<std::int64_t>(before - indexes_.size());
}

std::int64_t Partition::ClearCells(const RowSet& rows, std::span<const std::string_view> fields) {
  const Status status = LocateAll(rows, false);
  static_cast<void>(status);  // not strict: always ok
  std::int64_t removed = 0;
  for (const std::string_view name : fields) {
    Field* const field = FindField(name);
    if (field == nullptr) {
      continue;
    }
    for (const RowPlace& place : places_) {
      removed += place.segment != nullptr && RemoveCell(*field, place) ? 1 : 0;
    }
    DropFieldIfEmpty(*field);
  }
  return removed;
}

bool Partition::RemoveCell(Field& field, const RowPlace& place) noexcept {
  if (!place.segment->GetCell(field.Id(), place.offset).Ready()) {
    return false;
  }
  field.Unpoint(std::exchange(place.segment->CellAt(field.Id(), place.offset), Cell()));
  --field.ready_cells;
  return true;
}

void Partition::RemoveRow(const RowPlace& place) noexcept {
  for (Field* const field : order_) {
    RemoveCell(*field, place);
  }
  Row& row = place.segment->At(place.offset);
  memory_.GetBudget().Release(BookkeepingBytes(row));
  indexes_.erase(row.key);
  row = Row();
  if (--place.segment->live_rows == 0) {
    segments_.erase(place.index / Segment::kRows);
  }
}

// A field that no row holds is forgotten, and its dtype with it.
void Partition::DropFieldIfEmpty(Field& field) noexcept {
  if (field.ready_cells != 0) {
    return;
  }
  for (const auto& [number, segment] : segments_) {
    segment->DropField(field.Id());
  }
  order_.erase(std::find(order_.begin(), order_.end(), &field));
  fields_by_name_.erase(field.Name());
  fields_[field.Id()].reset();
}

}  // namespace sluice::store
