#include "store/partition/segment.h"

#include <algorithm>
#include <utility>

namespace sluice::store {
namespace {

constexpr std::size_t kFirstRows = 16;

}  // namespace

std::int64_t Segment::BytesFor(std::size_t rows, std::size_t fields) const {
  return static_cast<std::int64_t>(sizeof(Segment) + rows * (sizeof(Row) + fields * sizeof(Cell)));
}

// Charges the difference to `bytes`.
Status Segment::Charge(std::int64_t bytes, std::int64_t overdraft) {
  if (bytes > charged_) {
    if (!budget_.TryCharge(bytes - charged_, overdraft)) {
      return OutOfMemory();
    }
    charged_ = bytes;
  }
  return {};
}

Result<SegmentRef> Segment::Copy(std::int64_t overdraft) const {
  SegmentRef copy(new Segment(budget_, number_, first_));
  TRY(copy->Charge(BytesFor(rows_.size(), fields_), overdraft));
  copy->rows_ = rows_;
  copy->cells_.resize(cells_.size());
  for (std::size_t id = 0; id < cells_.size(); ++id) {
    if (cells_[id] != nullptr) {
      copy->cells_[id] = std::make_unique<Cell[]>(rows_.size());
      std::copy_n(cells_[id].get(), rows_.size(), copy->cells_[id].get());
    }
  }
  copy->fields_ = fields_;
  copy->live_rows = live_rows;
  copy->newest_ = newest_;
  copy->newest_of_block_ = newest_of_block_;
  return copy;
}

Status Segment::EnsureRow(std::uint32_t offset) {
  const std::size_t needed = offset - first_ + 1;
  if (needed <= rows_.size()) {
    return {};
  }
  std::size_t capacity = std::max(kFirstRows, rows_.size());
  while (capacity < needed) {
    capacity *= 4;
  }
  capacity = std::min<std::size_t>(capacity, kRows - first_);
  const std::int64_t bytes = BytesFor(capacity, fields_);
  const std::int64_t charged = charged_;
  TRY(Charge(bytes, 0));
  try {
    std::vector<Row> rows(capacity);
    std::vector<std::unique_ptr<Cell[]>> cells(cells_.size());
    for (std::size_t id = 0; id < cells_.size(); ++id) {
      if (cells_[id] != nullptr) {
        cells[id] = std::make_unique<Cell[]>(capacity);
        std::copy_n(cells_[id].get(), rows_.size(), cells[id].get());
      }
    }
    std::move(rows_.begin(), rows_.end(), rows.begin());
    rows_ = std::move(rows);
    cells_ = std::move(cells);
  } catch (...) {
    budget_.Release(charged_ - charged);
    charged_ = charged;
    throw;
  }
  return {};
}

Status Segment::EnsureField(std::uint32_t id) {
  if (id < cells_.size() && cells_[id] != nullptr) {
    return {};
  }
  const std::int64_t charged = charged_;
  TRY(Charge(BytesFor(rows_.size(), fields_ + 1), 0));
  try {
    auto cells = std::make_unique<Cell[]>(rows_.size());
    if (id >= cells_.size()) {
      cells_.resize(id + 1);
    }
    cells_[id] = std::move(cells);
  } catch (...) {
    budget_.Release(charged_ - charged);
    charged_ = charged;
    throw;
  }
  ++fields_;
  return {};
}

void Segment::DropField(std::uint32_t id) noexcept {
  if (id >= cells_.size() || cells_[id] == nullptr) {
    return;
  }
  cells_[id].reset();
  --fields_;
  const std::int64_t bytes = BytesFor(rows_.size(), fields_);
  budget_.Release(charged_ - bytes);
  charged_ = bytes;
}

void Segment::SetRevision(std::uint32_t offset, Revision revision) {
  At(offset).revision = revision;
  newest_of_block_[offset / kBlockRows] = revision;
  newest_ = revision;
}

const Row* Segment::Find(std::uint32_t offset) const {
  if (offset < first_ || offset - first_ >= rows_.size() || rows_[offset - first_].key.IsNull()) {
    return nullptr;
  }
  return &rows_[offset - first_];
}

Cell Segment::GetCell(std::uint32_t id, std::uint32_t offset) const {
  return id < cells_.size() && cells_[id] != nullptr ? cells_[id][offset - first_] : Cell();
}

}  // namespace sluice::store
