// Partition: the rows' data that a write returns, collected in the reserve phase, which may fail.
#include <algorithm>

#include "store/partition/partition.h"

namespace sluice::store {

// Describes the plan's rows as they will be after the write.
void Partition::Describe(const WriteRequest& request, const WritePlan& plan,
                         WriteResult& result) const {
  for (const Field* const field : order_) {
    if (request.return_fields && ReadyInAll(*field, plan)) {
      result.fields.push_back(field->Name());
    }
  }
  if (!request.return_tags) {
    return;
  }
  for (std::size_t i = 0; i < plan.rows_.size(); ++i) {
    const RowReference& place = plan.rows_[i];
    const Row* const row = place.segment->Find(place.offset);
    const bool written = !plan.tags_.empty();
    result.tags.push_back(written ? plan.tags_[i] : row == nullptr ? Text() : row->tag);
  }
}

bool Partition::ReadyInAll(const Field& field, const WritePlan& plan) {
  const std::size_t rows = plan.rows_.size();
  const auto column = static_cast<std::size_t>(
      std::find(plan.fields_.begin(), plan.fields_.end(), &field) - plan.fields_.begin());
  const bool written = column < plan.fields_.size();
  for (std::size_t i = 0; i < rows; ++i) {
    const RowReference& place = plan.rows_[i];
    const Cell cell =
        written ? plan.cells_[column * rows + i] : place.segment->GetCell(field.Id(), place.offset);
    if (!cell.Ready()) {
      return false;
    }
  }
  return rows > 0;
}

}  // namespace sluice::store
