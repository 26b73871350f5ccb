#include "server/commands/kv/row_steps.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace sluice::server {
namespace {

using store::ReadResult;

using Columns = std::vector<ReadResult::Column>;

const ReadResult::Column* Find(const Columns& columns, std::string_view name) {
  const auto it = std::find_if(columns.begin(), columns.end(),
                               [&](const auto& column) { return column.name.View() == name; });
  return it == columns.end() ? nullptr : &*it;
}

// Joins the columns of all parts. Strict: only columns that every part has. Errors: kDType.
Status JoinColumns(std::span<const ReadResult> parts, bool strict, Columns& columns) {
  for (const ReadResult& part : parts) {
    for (const ReadResult::Column& column : part.columns) {
      const ReadResult::Column* const known = Find(columns, column.name.View());
      if (known == nullptr) {
        columns.push_back(column);
      } else if (known->dtype != column.dtype) {
        return Status(Code::kDType, fmt::format("field '{}' became {} during the read",
                                                column.name.View(), store::NameOf(column.dtype)));
      }
    }
  }
  if (strict) {
    std::erase_if(columns, [&](const ReadResult::Column& column) {
      return std::any_of(parts.begin(), parts.end(), [&](const ReadResult& part) {
        return Find(part.columns, column.name.View()) == nullptr;
      });
    });
  }
  return {};
}

Status Join(std::span<ReadResult> parts, bool strict, ReadResult& read) {
  read.Reset();
  TRY(JoinColumns(parts, strict, read.columns));
  for (ReadResult& part : parts) {
    read.indexes.insert(read.indexes.end(), part.indexes.begin(), part.indexes.end());
    std::move(part.keys.begin(), part.keys.end(), std::back_inserter(read.keys));
    std::move(part.pins.begin(), part.pins.end(), std::back_inserter(read.pins));
  }
  read.cells.reserve(read.columns.size() * read.indexes.size());
  for (const ReadResult::Column& column : read.columns) {
    for (const ReadResult& part : parts) {
      const ReadResult::Column* const here = Find(part.columns, column.name.View());
      if (here == nullptr) {
        read.cells.resize(read.cells.size() + part.indexes.size());
      } else {
        const auto* const cells =
            part.CellsOf(static_cast<std::size_t>(here - part.columns.data()));
        read.cells.insert(read.cells.end(), cells, cells + part.indexes.size());
      }
    }
  }
  return {};
}

}  // namespace

Status RowSteps::Begin(RowChoice& choice, bool at_once) {
  TRY(ChooseRows(context_, partition_, choice));
  rows_ = choice.rows;
  if (!choice.where) {
    return {};
  }
  choice_ = &choice;
  auto found = context_.server.store(context_.turn.Enter()).FindPartition(partition_);
  incarnation_ = found.ok() && *found != nullptr ? (*found)->Incarnation() : 0;
  if (rows_.indexes.size() > kStepRows && !at_once && !context_.in_transaction) {
    all_ = std::move(context_.scratch.indexes);
    context_.scratch.indexes.clear();
    LookAgain();
  }
  return {};
}

store::Partition* RowSteps::SamePartition() {
  auto found = context_.server.store(context_.turn.Enter()).FindPartition(partition_);
  return found.ok() && *found != nullptr && (*found)->Incarnation() == incarnation_ ? *found
                                                                                    : nullptr;
}

void RowSteps::Recheck() {
  if (choice_ == nullptr) {
    return;
  }
  fitting_.clear();
  if (store::Partition* const partition = SamePartition()) {
    std::copy_if(rows_.indexes.begin(), rows_.indexes.end(), std::back_inserter(fitting_),
                 [&](RowIndex index) {
                   const store::Row* const row = partition->FindRow(index);
                   return row != nullptr && choice_->where->Matches(row->tag.View());
                 });
  }
  rows_.indexes = fitting_;
}

bool RowSteps::Next() {
  if (next_ >= all_.size()) {
    return false;
  }
  context_.turn.Leave();
  return LookAgain();
}

// Examines the next rows of all_. Returns false if the partition was removed.
bool RowSteps::LookAgain() {
  step_.clear();
  rows_.indexes = step_;
  store::Partition* const partition = SamePartition();
  if (partition == nullptr) {
    return false;
  }
  const std::size_t end = std::min(next_ + kStepRows, all_.size());
  for (; next_ < end; ++next_) {
    const store::Row* const row = partition->FindRow(all_[next_]);
    if (row != nullptr && choice_->where->Matches(row->tag.View())) {
      step_.push_back(all_[next_]);
    }
  }
  rows_.indexes = step_;
  return true;
}

Status ReadChosen(Context& context, RowChoice& choice, store::ReadRequest request,
                  ReadResult& read) {
  RowSteps steps(context, request.partition);
  TRY(steps.Begin(choice));
  request.rows = steps.Rows();
  TRY(context.server.store(context.turn.Enter()).Read(request, read));
  std::vector<ReadResult> parts;
  while (steps.Next()) {
    parts.push_back(std::exchange(read, {}));
    request.rows = steps.Rows();
    TRY(context.server.store(context.turn.Enter()).Read(request, read));
  }
  if (parts.empty()) {
    return {};
  }
  context.turn.Leave();
  parts.push_back(std::exchange(read, {}));
  return Join(parts, request.strict, read);
}

}  // namespace sluice::server
