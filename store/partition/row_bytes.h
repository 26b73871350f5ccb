// What a row is charged for its key and its tag, beside the arrays of its segment.
#pragma once

#include <cstdint>

#include "store/partition/segment.h"

namespace sluice::store {

// The key's block on the heap and its place in the index; a tag's block.
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
