// Bytes charged for a row's key and tag, in addition to the arrays of its segment.
#pragma once

#include <cstdint>

#include "store/partition/segment.h"

namespace sluice::store {

// Heap block of the key and its index entry.
inline constexpr std::int64_t kKeyOverheadBytes = 64;

inline std::int64_t KeyBytes(const Text& key) {
  return kKeyOverheadBytes + static_cast<std::int64_t>(key.View().size());
}
inline std::int64_t TagBytes(const Text& tag) {
  return tag.IsNull() ? 0 : kTextOverheadBytes + static_cast<std::int64_t>(tag.View().size());
}
inline std::int64_t BookkeepingBytes(const Row& row) {
  return KeyBytes(row.key) + TagBytes(row.tag);
}

}  // namespace sluice::store
