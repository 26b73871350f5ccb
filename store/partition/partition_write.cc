// Partition: writes: Reserve() and Apply().
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "store/partition/partition.h"
#include "store/partition/row_bytes.h"
#include "store/tags/tag.h"

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
      segments.erase(std::prev(segments.end()));  // segments for new rows are the last ones
    }
    partition.next_index_ = old_next_index_;
    partition.memory_.GetBudget().Release(charged_);
  }
  charged_ = 0;
  pointed_ = 0;
  rows_.clear();
  segments_.clear();
  keys_.clear();
  tags_.clear();
  fields_.clear();
  cells_.clear();
  slots_.clear();
}

Status Partition::Reserve(const WriteRequest& request, WritePlan& plan, WriteResult& result) {
  struct Guard {  // covers both a Status and std::bad_alloc
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
  plan.segments_.reserve(rows);
  plan.keys_.reserve(rows);
  plan.fields_.reserve(request.columns.size());
  plan.cells_.reserve(rows * request.columns.size());
  TRY(ReserveRows(request, plan));
  for (ColumnWrite& column : request.columns) {
    TRY(ReserveColumn(column, plan));
  }
  TRY(CheckLimits(bytes_before, plan));
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
    return ReserveNewRow(std::move(key), next_index_, rows.size() - position, plan);
  }
  const bool by_key = rows.kind == RowSet::Kind::kKeys;
  RowReference place = Locate(rows, position);
  if (place.segment != nullptr) {
    TRY(MakeWritable(place, 0));
    plan.keys_.emplace_back();
    plan.AddRow(place);
    return {};
  }
  if (!by_key) {
    return NoRow(rows, position);
  }
  const std::string_view key = rows.keys[position];
  return ReserveNewRow(Text(key), NumberOf(key), 1, plan);
}

// The next index as text. Skips indexes whose text is the key of another row.
Text Partition::NextNumberedKey(NumberedKeys* ahead) {
  if (ahead != nullptr && next_index_ >= named_numbers_end_) {
    const auto place = static_cast<std::uint64_t>(next_index_ - ahead->first);
    if (place < ahead->keys.size() && !ahead->keys[place].IsNull()) {  // null: already used
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

Status Partition::ReserveNewRow(Text key, RowIndex number, std::size_t count, WritePlan& plan) {
  const RowIndex index = next_index_;
  const RowIndex segment = index / Segment::kRows;
  const auto offset = static_cast<std::uint32_t>(index % Segment::kRows);
  auto it = segments_.find(segment);
  if (it == segments_.end()) {
    SegmentRef made(new Segment(memory_.GetBudget(), segment, offset));
    it = segments_.emplace(segment, std::move(made)).first;
  }
  RowReference place = {.segment = it->second.get(), .offset = offset, .index = index};
  TRY(MakeWritable(place, 0));
  const std::size_t last = std::min<std::size_t>(offset + count, Segment::kRows) - 1;
  TRY(place.segment->EnsureRow(static_cast<std::uint32_t>(last)));
  AddKey(key, number, index);
  plan.keys_.push_back(std::move(key));  // does not throw, so key index and plan agree
  plan.AddRow(place);
  ++next_index_;
  return {};
}

Status Partition::ReserveTags(std::span<const TagWrite> tags, WritePlan& plan) {
  plan.tags_.reserve(tags.size());
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const RowReference& place = plan.rows_[i];
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

void Partition::NotifyChanged(std::span<const RowReference> rows) noexcept {
  for (Listener* const listener : listeners_) {
    listener->OnRowsChanged(*this, rows);
  }
}

void Partition::NotifyRemoved(const RowReference& row) noexcept {
  for (Listener* const listener : listeners_) {
    listener->OnRowsRemoved(*this, std::span(&row, 1));
  }
}

void Partition::Apply(WritePlan& plan, Revision revision, WriteResult& result) noexcept {
  const std::size_t rows = plan.rows_.size();
  std::int64_t replaced_bytes = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const RowReference& place = plan.rows_[i];
    if (i + kPrefetchAhead < rows && plan.keys_[i + kPrefetchAhead].IsNull()) {
      const RowReference& later = plan.rows_[i + kPrefetchAhead];
      for (const Field* const field : plan.fields_) {
        later.segment->PrefetchCell(field->Id(), later.offset);
      }
    }
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
  plan.partition_ = nullptr;  // the partition owns everything now
  NotifyChanged(plan.rows_);
  plan.Release();
}

}  // namespace sluice::store
