#include "store/partition/partition_terms.h"

#include <algorithm>

namespace sluice::store {

const FieldTerms* PartitionTerms::FindField(std::string_view name) const {
  const auto it = std::find_if(fields.begin(), fields.end(),
                               [name](const FieldTerms& field) { return field.name == name; });
  return it == fields.end() ? nullptr : &*it;
}

bool PartitionTerms::AllowsTask(std::string_view name) const {
  return !strict || tasks.empty() || std::find(tasks.begin(), tasks.end(), name) != tasks.end();
}

bool PartitionTerms::AllowsField(std::string_view name) const {
  return !strict || fields.empty() || FindField(name) != nullptr;
}

}  // namespace sluice::store
