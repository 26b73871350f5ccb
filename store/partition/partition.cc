#include "store/partition/partition.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/partition/row_bytes.h"

namespace sluice::store {

Partition::Partition(Text name, Memory& memory, const Birth& birth)
    : name_(std::move(name)),
      memory_(memory),
      made_(birth.made),
      incarnation_(birth.incarnation),
      removals_(memory.GetBudget()),
      indexes_(birth.seed),
      created_ms_(birth.now_ms),
      touched_ms_(birth.now_ms),
      listeners_(*birth.listeners),
      fields_by_name_(0, TextHash{birth.seed}) {}

Status Partition::CheckIncarnation(const RowSet& rows) const {
  if (rows.incarnation == 0 || rows.incarnation == incarnation_) {
    return {};
  }
  return Status(Code::kStale,
                fmt::format("partition '{}' was made again: its incarnation is {}, not {}",
                            name_.View(), incarnation_, rows.incarnation));
}

Partition::~Partition() {
  while (!TakeApart()) {
  }
}

bool Partition::TakeApart() noexcept {
  attachment_ = nullptr;
  for (const auto& field : fields_) {
    if (field != nullptr && !field->DropChunks(Segment::kRows)) {
      return false;
    }
  }
  if (!segments_.empty()) {
    std::int64_t bytes = 0;
    const auto last = std::prev(segments_.end());
    last->second->ForEach(0, 0, [&bytes](std::uint32_t /*offset*/, const Row& row) {
      bytes += BookkeepingBytes(row);
    });
    memory_.GetBudget().Release(bytes);
    segments_.erase(last);
  }
  return segments_.empty() && indexes_.TakeApart() && removals_.TakeApart();
}

void Partition::Prefetch(RowIndex index,
                         std::span<const std::optional<std::uint32_t>> field_ids) const noexcept {
  const auto it = index < 0 ? segments_.end() : FindSegment(index / Segment::kRows);
  if (it == segments_.end()) {
    return;
  }
  const auto offset = static_cast<std::uint32_t>(index % Segment::kRows);
  it->second->Prefetch(offset);
  for (const std::optional<std::uint32_t> id : field_ids) {
    if (id) {
      it->second->PrefetchCell(*id, offset);
    }
  }
}

// Fast path: most partitions have no gaps between their segments.
Partition::Segments::const_iterator Partition::FindSegment(RowIndex number) const noexcept {
  if (segments_.empty() || number < segments_.begin()->first) {
    return segments_.end();
  }
  const auto place = static_cast<std::size_t>(number - segments_.begin()->first);
  if (place < segments_.size() && segments_.nth(place)->first == number) {
    return segments_.nth(place);
  }
  return segments_.find(number);
}

RowReference Partition::Locate(RowIndex index) {
  if (index < 0 || index >= next_index_) {
    return {};
  }
  const auto it = FindSegment(index / Segment::kRows);
  const auto offset = static_cast<std::uint32_t>(index % Segment::kRows);
  if (it == segments_.end() || it->second->Find(offset) == nullptr) {
    return {};
  }
  return {.segment = it->second.get(), .offset = offset, .index = index};
}

RowIndex Partition::NumberOf(std::string_view key) noexcept {
  constexpr std::size_t kDigitsMax = 18;
  if (key.empty() || key.size() > kDigitsMax || (key[0] == '0' && key.size() > 1)) {
    return kNoRow;
  }
  RowIndex number = 0;
  for (const char digit : key) {
    if (digit < '0' || digit > '9') {
      return kNoRow;
    }
    number = 10 * number + (digit - '0');
  }
  return number;
}

void Partition::AddKey(const Text& key, RowIndex number, RowIndex index) {
  if (number == index) {
    ++numbered_rows_;
    return;
  }
  indexes_.Add(key, index);
  named_numbers_end_ = std::max(named_numbers_end_, number + 1);  // no effect for kNoRow
}

void Partition::ForgetKey(std::string_view key, RowIndex index) noexcept {
  if (NumberOf(key) == index) {
    --numbered_rows_;
  } else {
    indexes_.Remove(key);
  }
}

RowReference Partition::Locate(std::string_view key) {
  if (const RowIndex number = NumberOf(key); number != kNoRow) {
    const RowReference place = Locate(number);
    if (place.segment != nullptr && place.segment->At(place.offset).key.View() == key) {
      return place;
    }
  }
  const RowIndex index = indexes_.Find(key);
  if (index == kNoRow) {
    return {};
  }
  return {.segment = FindSegment(index / Segment::kRows)->second.get(),
          .offset = static_cast<std::uint32_t>(index % Segment::kRows),
          .index = index};
}

RowReference Partition::Locate(const RowSet& rows, std::size_t position) {
  return rows.kind == RowSet::Kind::kKeys ? Locate(rows.keys[position])
                                          : Locate(rows.indexes[position]);
}

Status Partition::MakeWritable(RowReference& place, std::int64_t overdraft) {
  if (place.segment->IsMine()) {
    return {};
  }
  TRY_ASSIGN(SegmentRef copy, place.segment->Copy(overdraft));
  place.segment = copy.get();
  segments_.find(place.index / Segment::kRows)->second = std::move(copy);
  return {};
}

// Makes all places_ writable. Commands that remove may exceed the memory limit for the copies.
Status Partition::MakeAllWritable() {
  for (RowReference& place : places_) {
    if (place.segment == nullptr) {
      continue;
    }
    place.segment = FindSegment(place.index / Segment::kRows)->second.get();
    TRY(MakeWritable(place, Budget::kOverdraftBytes));
  }
  return {};
}

// Fills places_. Errors: kNoKey for the first missing row, if strict.
void Partition::PrefetchAhead(
    const RowSet& rows, std::size_t position,
    std::span<const std::optional<std::uint32_t>> field_ids) const noexcept {
  if (rows.kind == RowSet::Kind::kIndexes && position + kPrefetchAhead < rows.indexes.size()) {
    Prefetch(rows.indexes[position + kPrefetchAhead], field_ids);
  }
}

Status Partition::LocateAll(const RowSet& rows, bool strict) {
  places_.clear();
  const std::size_t count = rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    PrefetchAhead(rows, i);
    const RowReference place = Locate(rows, i);
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

Status Partition::WrongDType(const Field& field, DType dtype) const {
  return Status(Code::kDType,
                fmt::format("field '{}' of partition '{}' is {}, not {}", field.Name().View(),
                            name_.View(), NameOf(field.GetDType()), NameOf(dtype)));
}

Result<GrowingCell> Partition::CellToGrow(const AppendRequest& request) {
  const Field* const field = FindField(request.field);
  if (field == nullptr) {
    return GrowingCell();
  }
  if (field->GetDType() != request.dtype) {
    return WrongDType(*field, request.dtype);
  }
  const RowReference row = Locate(request.key);
  const Cell cell = row.segment == nullptr ? Cell() : row.segment->GetCell(field->Id(), row.offset);
  return cell.Held() ? GrowingCell{.chunk = field->ChunkOf(cell), .slot = cell.Slot()}
                     : GrowingCell();
}

const Row* Partition::FindRow(RowIndex index) {
  const RowReference place = Locate(index);
  return place.segment == nullptr ? nullptr : &place.segment->At(place.offset);
}

void Partition::TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot) {
  snapshot.made = made_;
  snapshot.from = request.from;
  snapshot.complete = request.since >= made_ && request.since >= removals_.Forgotten() &&
                      request.since <= snapshot.revision;
  snapshot.since = snapshot.complete ? request.since : 0;
  snapshot.removed = last_removal_ > request.since;
  for (const std::string_view name : request.fields) {
    const Field* const field = FindField(name);
    snapshot.has_fields = snapshot.has_fields && field != nullptr;
    snapshot.field_ids.push_back(field == nullptr ? 0 : field->Id());
  }
  if (request.removals && snapshot.complete) {
    snapshot.removals = removals_.After(request.since);
  }
  std::size_t rows = 0;  // without the first segment's, which may be before `from`
  auto it = segments_.lower_bound(request.from / Segment::kRows);
  for (; it != segments_.end() && rows <= request.rows_max; ++it) {
    if (it->second->Newest() > snapshot.since) {
      rows += snapshot.segments.empty() ? 0 : it->second->live_rows;
      snapshot.segments.push_back(it->second);
    }
  }
}

void Partition::Summarize(std::vector<FieldSummary>& fields) const {
  for (const Field* const field : order_) {
    fields.push_back({.name = field->Name(),
                      .dtype = field->GetDType(),
                      .dims = field->CommonDims(),
                      .ready_rows = field->ready_cells,
                      .bytes = field->StoredBytes()});
  }
}

std::optional<std::uint32_t> Partition::FieldId(std::string_view name) {
  const Field* const field = FindField(name);
  return field == nullptr ? std::nullopt : std::optional(field->Id());
}

std::int64_t Partition::ValueBytes() const {
  std::int64_t bytes = 0;
  for (const Field* const field : order_) {
    bytes += static_cast<std::int64_t>(field->StoredBytes());
  }
  return bytes;
}

std::int64_t Partition::Bytes() const {
  std::int64_t bytes = row_bytes_ + ValueBytes();
  for (const auto& [number, segment] : segments_) {
    bytes += segment->ChargedBytes();
  }
  return bytes;
}

}  // namespace sluice::store
