// Partition: reserves the columns of a write: their fields and the slots of their values.
#include <cstdint>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "store/partition/partition.h"

namespace sluice::store {

// True if only rows of the plan have cells of the field.
bool Partition::HeldByNoOther(const Field& field, const WritePlan& plan) {
  std::int64_t held = 0;
  for (const RowReference& row : plan.rows_) {
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
                  fmt::format("partition '{}' already has {} fields", name_.View(), kFieldsMax));
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

// Creates the field's cells in every segment of the plan's rows.
Status Partition::EnsureCells(const Field& field, const WritePlan& plan) {
  for (Segment* const segment : plan.segments_) {
    TRY(segment->EnsureField(field.Id()));
  }
  return {};
}

Status Partition::ReserveColumn(ColumnWrite& column, WritePlan& plan) {
  RowReference same_row;
  if (column.same) {  // before the field lookup: same error order as a read
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
  struct Guard {  // holds the slots' chunks, each once, until cells point at them
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
  plan.cells_.push_back(cell);  // capacity was reserved
  ++plan.pointed_;
}

// Fills plan.slots_ and holds their chunks. On failure, no chunk is held.
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
  plan.slots_.assign(column.source.slots, {.chunk = number, .slot = flag});
  std::uint32_t slot = 0;
  for (Cell& cell : plan.slots_) {
    cell.slot |= slot++;
  }
  field.Hold(number);
  return {};
}

// Copies the values to open chunks.
Status Partition::ReserveSmallSlots(Field& field, const ColumnSource& source, WritePlan& plan) {
  struct Undo {  // active until all slots are appended
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

Result<RowReference> Partition::RowOfSame(std::string_view key) {
  const RowReference row = Locate(key);
  // A row that this write creates is already in the key index, but not in its segment.
  if (row.segment == nullptr || row.segment->Find(row.offset) == nullptr) {
    return Status(Code::kNoKey, fmt::format("partition '{}' has no row '{}'", name_.View(), key));
  }
  return row;
}

Status Partition::ReserveSame(Field& field, const RowReference& row, WritePlan& plan) const {
  const Cell cell = row.segment->GetCell(field.Id(), row.offset);
  if (!cell.Ready()) {
    return NotReady(field, row);
  }
  for (std::size_t i = 0; i < plan.rows_.size(); ++i) {
    PointFromPlan(field, cell, plan);
  }
  return {};
}

}  // namespace sluice::store
