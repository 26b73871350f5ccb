// Partition: reading of rows and of which of them are ready.
#include <algorithm>

#include <fmt/format.h>

#include "store/partition/partition.h"

namespace sluice::store {

// The cell first, and its chunk half as many rows ahead, when the cell has arrived.
void Partition::PrefetchCellAhead(const Field& field, std::size_t position) const noexcept {
  const auto place_at = [this](std::size_t i) {
    return i < places_.size() ? places_[i] : RowReference();
  };
  if (const RowReference place = place_at(position + kPrefetchAhead); place.segment != nullptr) {
    place.segment->PrefetchCell(field.Id(), place.offset);
  }
  if (const RowReference place = place_at(position + kPrefetchAhead / 2);
      place.segment != nullptr) {
    field.PrefetchChunk(place.segment->GetCell(field.Id(), place.offset));
  }
}

Status Partition::NotReady(const Field& field, const RowReference& row) const {
  return Status(
      Code::kNotReady,
      fmt::format("field '{}' of row '{}' of partition '{}' is not ready", field.Name().View(),
                  row.segment->At(row.offset).key.View(), name_.View()));
}

Status Partition::Read(const ReadRequest& request, ReadResult& result) {
  TRY(LocateAll(request.rows, request.strict));
  for (const RowReference& place : places_) {
    result.indexes.push_back(place.index);
    if (request.keys) {
      result.keys.push_back(place.segment->At(place.offset).key);
    }
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

// Strict: the fields that are ready in all rows; otherwise every field.
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
  for (std::size_t i = 0; i < places_.size(); ++i) {
    PrefetchCellAhead(field, i);
    if (!places_[i].segment->GetCell(field.Id(), places_[i].offset).Ready()) {
      return false;
    }
  }
  return true;
}

Status Partition::ReadField(Field& field, bool strict, ReadResult& result) {
  result.columns.push_back({.name = field.Name(), .dtype = field.GetDType()});
  const Chunk* pinned = nullptr;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    PrefetchCellAhead(field, i);
    const RowReference& place = places_[i];
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
    result.cells.push_back({.chunk = pinned, .slot = cell.Slot()});
  }
  return {};
}

Status Partition::Tags(const RowSet& rows, bool strict, std::vector<Text>& tags) {
  TRY(LocateAll(rows, strict));
  static const Text kNone("{}");
  for (const RowReference& place : places_) {
    const Text tag = place.segment == nullptr ? Text() : place.segment->At(place.offset).tag;
    tags.push_back(place.segment != nullptr && tag.IsNull() ? kNone : tag);
  }
  return {};
}

std::size_t Partition::FirstUnready(const RowSet& rows, std::size_t from,
                                    std::span<const std::string_view> fields) {
  std::vector<std::optional<std::uint32_t>> ids;
  ids.reserve(fields.size());
  for (const std::string_view name : fields) {
    ids.push_back(FieldId(name));
  }
  const std::size_t count = rows.size();
  for (std::size_t i = from; i < count; ++i) {
    PrefetchAhead(rows, i, ids);
    const RowReference place = Locate(rows, i);
    const bool ready = place.segment != nullptr &&
                       std::all_of(ids.begin(), ids.end(), [&](std::optional<std::uint32_t> id) {
                         return id && place.segment->GetCell(*id, place.offset).Ready();
                       });
    if (!ready) {
      return i;
    }
  }
  return count;
}

}  // namespace sluice::store
