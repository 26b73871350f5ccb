// SafetensorsLayout: what the header of a safetensors file says, checked against the file: which
// tensors there are and which bytes are theirs. What they mean as fields is safetensors.h's matter.
//
// Thread safety: functions of their arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/tensor/dtype.h"

namespace sluice::store {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kBool;
  std::vector<std::int64_t> shape;  // at most kRankMax + 1 dims: a value's and the row's
  std::int64_t begin = 0;           // in the payload
  std::int64_t end = 0;
};

struct SafetensorsLayout {
  std::vector<SafetensorsEntry> tensors;  // in the header's order, of distinct names
  // What __metadata__ says in one of the words utf8, json and bytes; sorted.
  std::vector<std::pair<std::string, DType>> byte_strings;
  std::string_view payload;

  [[nodiscard]] std::string_view BytesOf(const SafetensorsEntry& tensor) const {
    return payload.substr(static_cast<std::size_t>(tensor.begin),
                          static_cast<std::size_t>(tensor.end - tensor.begin));
  }
};

// Afterwards every tensor has as many bytes as dtype and shape say, and the tensors cover the
// payload, each byte once. Errors: as ReadSafetensors, as far as no field is meant.
Result<SafetensorsLayout> ReadSafetensorsLayout(std::string_view file);

}  // namespace sluice::store
