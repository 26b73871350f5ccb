#include "store/partition/rows.h"

#include <array>
#include <charconv>
#include <string_view>

namespace sluice::store {
namespace {

// Capacity kept for the next command; memory of a larger result is freed.
constexpr std::size_t kKeptItemsMax = std::size_t{64} * 1024;

template <typename Vector>
void Recycle(Vector& vector) {
  vector.clear();
  if (vector.capacity() > kKeptItemsMax) {
    vector = Vector();
  }
}

}  // namespace

std::size_t RowSet::size() const {
  switch (kind) {
    case Kind::kKeys:
      return keys.size();
    case Kind::kIndexes:
      return indexes.size();
    case Kind::kNew:
      break;
  }
  return static_cast<std::size_t>(count);
}

NumberedKeys::NumberedKeys(RowIndex first_index, std::size_t count) : first(first_index) {
  keys.reserve(count);
  std::array<char, 24> digits = {};
  for (std::size_t i = 0; i < count; ++i) {
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(),
                                   first + static_cast<RowIndex>(i))
                         .ptr;
    keys.emplace_back(std::string_view(digits.data(), end));
  }
}

RowSet RowSet::Part(std::size_t begin, std::size_t rows) const {
  RowSet part = *this;
  if (kind == Kind::kKeys) {
    part.keys = keys.subspan(begin, rows);
  } else {
    part.indexes = indexes.subspan(begin, rows);
  }
  return part;
}

void ReadResult::Reset() {
  Recycle(indexes);
  Recycle(keys);
  Recycle(columns);
  Recycle(cells);
  Recycle(pins);
}

}  // namespace sluice::store
