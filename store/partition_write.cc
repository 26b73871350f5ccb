// The writing half of Partition: Reserve() and Apply().
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "store/partition.h"
#include "store/row_bytes.h"
#include "store/tag.h"

namespace sluice::store {
void WritePlan::Release() noexcept {
  if (partition_ != nullptr) {
    Partition& partition = *std::exchange(partition_, nullptr);
    for (std::size_t i = 0; i < pointed_; ++i) {
      fields_[i / rows_.size()]->Unpoint(cells_[i]);
    }
    for (Field* const field : fields_) {
      partition.DropFieldIfEmpty(*field);
    }
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (!keys_[i].IsNull()) {
        partition.ForgetKey(keys_[i].View(), rows_[i].index);
      }
    }
    auto& segments = partition.segments_;
    while (!segments.empty() && std::prev(segments.end())->second->live_rows == 0) {
      segments.erase(std::prev(segments.end()));  // made for new rows, so the last
    }
    partition.next_index_ = old_next_index_;
    partition.memory_.GetBudget().Release(charged_);
  }
  charged_ = 0;
  pointed_ = 0;
  rows_.clear();
  keys_.clear();
  tags_.clear();
  fields_.clear();
  cells_.clear();
  slots_.clear();
}

Status Partition::Reserve(const WriteRequest& request, WritePlan& plan, WriteResult& result) {
  struct Guard {  // for a Status as for std::bad_alloc
    WritePlan* plan;
    ~Guard() {
      if (plan != nullptr) {
        plan->Release();
      }
    }
  } guard{&plan};
  plan.Release();
  plan.partition_ = this;
  plan.old_next_index_ = next_index_;
  plan.wants_ = {};
  const std::size_t rows = request.rows.size();
  const std::int64_t bytes_before = terms_.bytes_max ? ValueBytes() : 0;
  plan.rows_.reserve(rows);
  plan.keys_.reserve(rows);
  plan.fields_.reserve(request.columns.size());
  plan.cells_.reserve(rows * request.columns.size());
  TRY(ReserveRows(request, plan));
  for (ColumnWrite& column : request.columns) {
    TRY(ReserveColumn(column, plan));
  }
  TRY(CheckRoom(bytes_before, plan));
  TRY(ReserveTags(request.tags, plan));
  TRY(ReserveBytes(plan));
  Describe(request, plan, result);
  if (request.before_apply) {
    request.before_apply(result);
  }
  guard.plan = nullptr;
  return {};
}

Status Partition::ReserveRows(const WriteRequest& request, WritePlan& plan) {
  const std::size_t count = request.rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    PrefetchAhead(request.rows, i);
    TRY(ReserveRow(request, i, plan));
  }
  return {};
}

Status Partition::ReserveRow(const WriteRequest& request, std::size_t position, WritePlan& plan) {
  const RowSet& rows = request.rows;
  if (rows.kind == RowSet::Kind::kNew) {
    Text key = NextNumberedKey(request.ahead);
    return ReserveNewRow(std::move(key), next_index_, plan);
  }
  const bool by_key = rows.kind == RowSet::Kind::kKeys;
  RowPlace place = Locate(rows, position);
  if (place.segment != nullptr) {
    TRY(MakeWritable(place, 0));
    plan.keys_.emplace_back();
    plan.rows_.push_back(place);
    return {};
  }
  if (!by_key) {
    return NoRow(rows, position);
  }
  const std::string_view key = rows.keys[position];
  return ReserveNewRow(Text(key), NumberOf(key), plan);
}

// The next index as text; an index whose text is the key of another row is skipped.
Text Partition::NextNumberedKey(NumberedKeys* ahead) {
  if (ahead != nullptr && next_index_ >= named_numbers_end_) {
    const auto place = static_cast<std::uint64_t>(next_index_ - ahead->first);
    if (place < ahead->keys.size()) {
      return std::move(ahead->keys[place]);
    }
  }
  std::array<char, 24> digits = {};
  for (;; ++next_index_) {
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), next_index_).ptr;
    const std::string_view key(digits.data(), static_cast<std::size_t>(end - digits.data()));
    if (next_index_ >= named_numbers_end_ || indexes_.Find(key) == kNoRow) {
      return Text(key);
    }
  }
}

Status Partition::ReserveNewRow(Text key, RowIndex number, WritePlan& plan) {
  const RowIndex index = next_index_;
  const RowIndex segment = index / Segment::kRows;
  const auto offset = static_cast<std::uint32_t>(index % Segment::kRows);
  auto it = segments_.find(segment);
  if (it == segments_.end()) {
    SegmentRef made(new Segment(memory_.GetBudget(), segment, offset));
    it = segments_.emplace(segment, std::move(made)).first;
  }
  RowPlace place = {.segment = it->second.get(), .offset = offset, .index = index};
  TRY(MakeWritable(place, 0));
  TRY(place.segment->EnsureRow(offset));
  AddKey(key, number, index);
  plan.keys_.push_back(std::move(key));  // capacity was reserved: what is in the map is in the plan
  plan.rows_.push_back(place);
  ++next_index_;
  return {};
}

// Than the rows of the plan.
bool Partition::HeldByNoOther(const Field& field, const WritePlan& plan) {
  std::int64_t held = 0;
  for (const RowPlace& row : plan.rows_) {
    held += row.segment->GetCell(field.Id(), row.offset).Held() ? 1 : 0;
  }
  return held == field.held_cells;
}

Result<Field*> Partition::FieldForWrite(const ColumnWrite& column, const WritePlan& plan) {
  const std::string_view name = column.source.field;
  Field* const known = FindField(name);
  if (column.same && known == nullptr) {
    return Status(Code::kNoField,
                  fmt::format("partition '{}' has no field '{}'", name_.View(), name));
  }
  TRY(CheckDType(name, column.same ? known->GetDType() : column.source.dtype));
  if (known != nullptr) {
    if (!column.same && known->GetDType() != column.source.dtype &&
        !(column.retype && HeldByNoOther(*known, plan))) {
      return WrongDType(*known, column.source.dtype);
    }
    return known;
  }
  std::size_t id = 0;
  while (id < fields_.size() && fields_[id] != nullptr) {
    ++id;
  }
  if (id >= kFieldsMax) {
    return Status(Code::kError,
                  fmt::format("partition '{}' has {} fields already", name_.View(), kFieldsMax));
  }
  order_.reserve(order_.size() + 1);
  if (id == fields_.size()) {
    fields_.emplace_back();
  }
  auto field =
      std::make_unique<Field>(Text(name), column.source.dtype, static_cast<std::uint32_t>(id));
  fields_by_name_.emplace(field->Name(), field.get());
  order_.push_back(field.get());
  fields_[id] = std::move(field);
  ++fields_version_;
  return fields_[id].get();
}

// Every segment of the plan's rows gets cells of the field.
Status Partition::EnsureCells(const Field& field, const WritePlan& plan) {
  const Segment* last = nullptr;
  for (const RowPlace& row : plan.rows_) {
    Status status = row.segment == last ? Status() : row.segment->EnsureField(field.Id());
    if (!status.ok()) {
      return status;
    }
    last = row.segment;
  }
  return {};
}

Status Partition::ReserveColumn(ColumnWrite& column, WritePlan& plan) {
  RowPlace same_row;
  if (column.same) {  // before the field is looked up: the order of errors is that of a read
    TRY_ASSIGN(same_row, RowOfSame(column.same_key));
  }
  TRY_ASSIGN(Field* const field, FieldForWrite(column, plan));
  plan.fields_.push_back(field);
  TRY(EnsureCells(*field, plan));
  if (column.same) {
    return ReserveSame(*field, same_row, plan);
  }
  if (column.source.dtype != field->GetDType() && !column.chunk) {  // no chunk of the old dtype
    TRY_ASSIGN(column.chunk, Chunk::Make(memory_, column.source));
  }
  const bool one_chunk = static_cast<bool>(column.chunk);
  TRY(ReserveSlots(*field, column, plan));
  struct Guard {  // the slots' chunks are held until cells point at them: one chunk once
    Field* field;
    std::vector<Cell>* slots;
    bool one_chunk;
    ~Guard() {
      if (one_chunk && !slots->empty()) {
        slots->resize(1);
      }
      for (; !slots->empty(); slots->pop_back()) {
        field->Unhold(slots->back().chunk);
      }
    }
  } const guard{field, &plan.slots_, one_chunk};
  if (one_chunk && column.dict.empty() && !plan.slots_.empty()) {
    field->PointAll(plan.slots_.front());
    plan.cells_.insert(plan.cells_.end(), plan.slots_.begin(), plan.slots_.end());
    plan.pointed_ += plan.slots_.size();
    return CheckShapes(*field, plan);
  }
  for (std::size_t i = 0; i < plan.rows_.size(); ++i) {
    const std::size_t slot = column.dict.empty() ? i : static_cast<std::size_t>(column.dict[i]);
    PointFromPlan(*field, plan.slots_[slot], plan);
  }
  return CheckShapes(*field, plan);
}

void Partition::PointFromPlan(Field& field, Cell cell, WritePlan& plan) {
  field.Point(cell);
  plan.cells_.push_back(cell);  // there is capacity
  ++plan.pointed_;
}

// Fills plan.slots_, the chunk of each held. Where this fails, none is.
Status Partition::ReserveSlots(Field& field, ColumnWrite& column, WritePlan& plan) {
  plan.slots_.clear();
  plan.slots_.reserve(column.source.slots);
  if (!column.chunk) {
    return ReserveSmallSlots(field, column.source, plan);
  }
  if (column.source.slots == 0) {
    return {};
  }
  const std::uint32_t number = field.Add(std::move(column.chunk));
  const std::uint32_t flag = column.pending ? Cell::kPending : 0;
  for (std::size_t i = 0; i < column.source.slots; ++i) {
    plan.slots_.push_back({.chunk = number, .slot = static_cast<std::uint32_t>(i) | flag});
  }
  field.Hold(number);
  return {};
}

// Copies the values to open chunks.
Status Partition::ReserveSmallSlots(Field& field, const ColumnSource& source, WritePlan& plan) {
  struct Undo {  // until all slots are there
    Field* field;
    std::vector<Cell>* slots;
    ~Undo() {
      for (; field != nullptr && !slots->empty(); slots->pop_back()) {
        field->Unhold(slots->back().chunk);
      }
    }
  } undo{&field, &plan.slots_};
  std::size_t at = 0;
  for (std::size_t i = 0; i < source.slots; ++i) {
    const Dims dims =
        source.ragged ? source.dims.subspan(i * source.rank, source.rank) : source.dims;
    std::size_t bytes = SizeOf(source.dtype);
    for (const std::int64_t dim : dims) {
      bytes *= static_cast<std::size_t>(dim);
    }
    TRY_ASSIGN(const Cell cell, field.Append(memory_, dims, source.bytes.substr(at, bytes)));
    field.Hold(cell.chunk);
    plan.slots_.push_back(cell);
    at += bytes;
  }
  undo.field = nullptr;
  return {};
}

Result<RowPlace> Partition::RowOfSame(std::string_view key) {
  const RowPlace row = Locate(key);
  // A row that this very write makes is in the index already, but not in its segment.
  if (row.segment == nullptr || row.segment->Find(row.offset) == nullptr) {
    return Status(Code::kNoKey, fmt::format("partition '{}' has no row '{}'", name_.View(), key));
  }
  return row;
}

Status Partition::ReserveSame(Field& field, const RowPlace& row, WritePlan& plan) const {
  const Cell cell = row.segment->GetCell(field.Id(), row.offset);
  if (!cell.Ready()) {
    return NotReady(field, row);
  }
  for (std::size_t i = 0; i < plan.rows_.size(); ++i) {
    PointFromPlan(field, cell, plan);
  }
  return {};
}

Status Partition::ReserveTags(std::span<const TagWrite> tags, WritePlan& plan) {
  plan.tags_.reserve(tags.size());
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const RowPlace& place = plan.rows_[i];
    const Row* const row = place.segment->Find(place.offset);
    if (row == nullptr || row->tag.IsNull()) {
      plan.tags_.push_back(tags[i].fresh);
    } else if (!tags[i].merged.IsNull() && row->tag.Shares(tags[i].old)) {
      plan.tags_.push_back(tags[i].merged);
    } else {
      TRY_ASSIGN(Text merged, MergeTag(row->tag.View(), tags[i].patch));
      plan.tags_.push_back(std::move(merged));
    }
  }
  return {};
}

Status Partition::ReserveBytes(WritePlan& plan) {
  std::int64_t bytes = 0;
  for (const Text& key : plan.keys_) {
    bytes += key.IsNull() ? 0 : KeyBytes(key);
  }
  for (const Text& tag : plan.tags_) {
    bytes += TagBytes(tag);
  }
  if (!memory_.GetBudget().TryCharge(bytes)) {
    return OutOfMemory();
  }
  plan.charged_ = bytes;
  return {};
}

void Partition::NotifyChanged(std::span<const RowPlace> rows) noexcept {
  for (Listener* const listener : listeners_) {
    listener->OnRowsChanged(*this, rows);
  }
}

void Partition::NotifyRemoved(const RowPlace& row) noexcept {
  for (Listener* const listener : listeners_) {
    listener->OnRowsRemoved(*this, std::span(&row, 1));
  }
}

void Partition::Apply(WritePlan& plan, Revision revision, WriteResult& result) noexcept {
  const std::size_t rows = plan.rows_.size();
  std::int64_t replaced_bytes = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const RowPlace& place = plan.rows_[i];
    Row& row = place.segment->At(place.offset);
    if (!plan.keys_[i].IsNull()) {
      row.key = std::move(plan.keys_[i]);
      row.made_ms = touched_ms_;
      ++rows_made_;
      ++place.segment->live_rows;
      ++result.new_rows;
    }
    if (!plan.tags_.empty()) {
      replaced_bytes += TagBytes(row.tag);
      row.tag = std::move(plan.tags_[i]);
    }
    place.segment->SetRevision(place.offset, revision);
    result.indexes.push_back(place.index);
    for (std::size_t c = 0; c < plan.fields_.size(); ++c) {
      Field& field = *plan.fields_[c];
      Cell& cell = place.segment->CellAt(field.Id(), place.offset);
      const Cell old = std::exchange(cell, plan.cells_[c * rows + i]);
      field.ready_cells += cell.Ready() ? 1 : 0;
      field.ready_cells -= old.Ready() ? 1 : 0;
      if (old.Held()) {
        field.Unpoint(old);
        has_garbage = true;
      } else {
        ++field.held_cells;
      }
    }
  }
  for (std::size_t c = 0; rows > 0 && c < plan.fields_.size(); ++c) {  // ColumnWrite::retype
    plan.fields_[c]->SetDType(plan.fields_[c]->ChunkOf(plan.cells_[c * rows])->GetDType());
  }
  result.revision = revision;
  row_bytes_ += plan.charged_ - replaced_bytes;
  memory_.GetBudget().Release(replaced_bytes);
  plan.partition_ = nullptr;  // all of it is the partition's now
  NotifyChanged(plan.rows_);
  plan.Release();
}

}  // namespace sluice::store
