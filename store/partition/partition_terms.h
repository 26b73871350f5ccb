// PartitionTerms: the options of PARTITION.CREATE: limits, schema, tasks. The store enforces limits
// and schema; the streaming commands use the rest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/tensor/dtype.h"

namespace sluice::store {

struct FieldTerms {
  std::string name;
  DType dtype = DType::kBool;
  std::vector<std::int64_t> dims;  // -1: any size; empty for byte-string types
};

// Nullopt: not specified.
struct PartitionTerms {
  std::optional<std::int64_t> expect;     // total number of rows that will be created
  std::optional<std::int64_t> rows_max;   // MAXROWS
  std::optional<std::int64_t> bytes_max;  // MAXBYTES: of values, as stored
  std::optional<std::int64_t> ttl_ms;     // idle time after which the partition expires
  std::vector<FieldTerms> fields;
  std::vector<std::string> tasks;
  bool strict = false;     // other fields and tasks are errors, if any are listed
  bool autoevict = false;  // removes a row as soon as all `tasks` consumed it

  // Null if the schema does not list the field.
  [[nodiscard]] const FieldTerms* FindField(std::string_view name) const;
  [[nodiscard]] bool AllowsTask(std::string_view name) const;
  [[nodiscard]] bool AllowsField(std::string_view name) const;
};

}  // namespace sluice::store
