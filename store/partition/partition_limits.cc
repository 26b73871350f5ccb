// Partition: enforcement of the PARTITION.CREATE options: limits and schema.
#include <algorithm>

#include <fmt/format.h>

#include "store/partition/partition.h"

namespace sluice::store {

Status Partition::SetTerms(PartitionTerms terms) {
  for (const FieldTerms& wanted : terms.fields) {
    const Field* const field = FindField(wanted.name);
    if (field != nullptr && field->GetDType() != wanted.dtype) {
      return WrongDType(*field, wanted.dtype);
    }
  }
  terms_ = std::move(terms);
  return {};
}

Status Partition::CheckDType(std::string_view field, DType dtype) const {
  if (!terms_.AllowsField(field)) {
    return Status(Code::kNoField,
                  fmt::format("partition '{}' is STRICT, and its schema has no field '{}'",
                              name_.View(), field));
  }
  const FieldTerms* const terms = terms_.FindField(field);
  if (terms != nullptr && dtype != terms->dtype) {
    return Status(Code::kDType,
                  fmt::format("field '{}' of partition '{}' is {} by its schema, not {}", field,
                              name_.View(), NameOf(terms->dtype), NameOf(dtype)));
  }
  return {};
}

Status Partition::CheckShape(const FieldTerms& terms, Dims dims) const {
  const bool fits = IsByteString(terms.dtype) ||
                    std::equal(dims.begin(), dims.end(), terms.dims.begin(), terms.dims.end(),
                               [](std::int64_t dim, std::int64_t of_schema) {
                                 return of_schema == -1 || dim == of_schema;
                               });
  return fits ? Status()
              : Status(Code::kShape,
                       fmt::format("field '{}' of partition '{}' has shape [{}] by its schema, "
                                   "not [{}]",
                                   terms.name, name_.View(), fmt::join(terms.dims, ", "),
                                   fmt::join(dims, ", ")));
}

// Checks the shapes of the values in plan.slots_ against the schema.
Status Partition::CheckShapes(const Field& field, const WritePlan& plan) const {
  const FieldTerms* const terms = terms_.FindField(field.Name().View());
  if (terms == nullptr) {
    return {};
  }
  for (const Cell& cell : plan.slots_) {
    TRY(CheckShape(*terms, field.ChunkOf(cell)->DimsOf(cell.Slot())));
  }
  return {};
}

// Checks MAXROWS and MAXBYTES. Values that the write replaces still exist, but do not count.
Status Partition::CheckLimits(std::int64_t bytes_before, WritePlan& plan) const {
  WriteResult::Wants wants;
  for (const Text& key : plan.keys_) {
    wants.rows += key.IsNull() ? 0 : 1;
  }
  const auto rows = static_cast<std::int64_t>(Rows());
  if (terms_.rows_max && wants.rows > 0 && rows > *terms_.rows_max) {
    plan.wants_ = wants;
    plan.wants_.never_fits = wants.rows > *terms_.rows_max;
    return FullOfRows(rows - wants.rows, wants.rows);
  }
  if (!terms_.bytes_max) {
    return {};
  }
  const std::int64_t added = ValueBytes() - bytes_before;
  std::int64_t replaced = 0;
  for (std::size_t i = 0; i < plan.rows_.size(); ++i) {
    for (const Field* const field : plan.fields_) {
      const RowReference& place = plan.rows_[i];
      const Cell old = place.segment->GetCell(field->Id(), place.offset);
      replaced += old.Held()
                      ? static_cast<std::int64_t>(field->ChunkOf(old)->BytesHeldAlone(old.Slot()))
                      : 0;
    }
  }
  wants.bytes = added - replaced;
  wants.alone = added;
  if (wants.bytes > 0 && bytes_before + wants.bytes > *terms_.bytes_max) {
    plan.wants_ = wants;
    plan.wants_.never_fits = added > *terms_.bytes_max;  // regardless of the bytes replaced
    return FullOfBytes(bytes_before, wants.bytes);
  }
  return {};
}

Status Partition::CheckGrowth(const Growth& growth, WriteResult::Wants& wants) {
  wants = {};
  TRY(CheckDType(growth.field, growth.dtype));
  if (const FieldTerms* const terms = terms_.FindField(growth.field); terms != nullptr) {
    TRY(CheckShape(*terms, growth.dims));
  }
  if (terms_.rows_max && Locate(growth.key).segment == nullptr) {
    wants.rows = 1;
    const auto rows = static_cast<std::int64_t>(Rows());
    if (rows >= *terms_.rows_max) {
      wants.never_fits = *terms_.rows_max < 1;
      return FullOfRows(rows, 1);
    }
  }
  wants.bytes = growth.new_bytes - growth.old_bytes;
  wants.alone = growth.new_bytes;
  if (terms_.bytes_max && wants.bytes > 0 && ValueBytes() + wants.bytes > *terms_.bytes_max) {
    wants.never_fits = growth.new_bytes > *terms_.bytes_max;
    return FullOfBytes(ValueBytes(), wants.bytes);
  }
  return {};
}

Status Partition::FullOfRows(std::int64_t rows, std::int64_t added) const {
  return Status(Code::kFull, fmt::format("partition '{}' has {} rows of at most {} (MAXROWS), "
                                         "and this write would add {}",
                                         name_.View(), rows, *terms_.rows_max, added));
}

Status Partition::FullOfBytes(std::int64_t bytes, std::int64_t added) const {
  return Status(Code::kFull, fmt::format("partition '{}' has {} bytes of at most {} (MAXBYTES), "
                                         "and this write would add {}",
                                         name_.View(), bytes, *terms_.bytes_max, added));
}

}  // namespace sluice::store
