// PartitionTerms: what PARTITION.CREATE says of a partition: limits, a schema, its tasks. Limits
// and schema are the store's to keep; the rest is for the streaming commands.
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
  std::vector<std::int64_t> dims;  // -1: it varies; of a byte-string type: none
};

// Nullopt: not said.
struct PartitionTerms {
  std::optional<std::int64_t> expect;     // rows that will have been made in the end
  std::optional<std::int64_t> rows_max;   // MAXROWS
  std::optional<std::int64_t> bytes_max;  // MAXBYTES: of values, as stored
  std::optional<std::int64_t> ttl_ms;     // it goes when it was not used for so long
  std::vector<FieldTerms> fields;
  std::vector<std::string> tasks;
  bool strict = false;     // other fields and tasks are errors, where some were named
  bool autoevict = false;  // a row that all `tasks` have consumed goes at once

  // Null: the schema does not say.
  [[nodiscard]] const FieldTerms* FindField(std::string_view name) const;
  [[nodiscard]] bool AllowsTask(std::string_view name) const;
  [[nodiscard]] bool AllowsField(std::string_view name) const;
};

}  // namespace sluice::store
