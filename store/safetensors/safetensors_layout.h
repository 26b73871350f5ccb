// SafetensorsLayout: the tensors of a safetensors file and their bytes, from its header, checked
// against the file. safetensors.h interprets them as fields.
//
// Thread safety: any thread; there is no shared state.
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
  std::vector<std::int64_t> shape;  // at most kRankMax + 1 dims: rows and a value's dims
  std::int64_t begin = 0;           // in the payload
  std::int64_t end = 0;
};

struct SafetensorsLayout {
  std::vector<SafetensorsEntry> tensors;  // in header order; names are distinct
  // The __metadata__ entries with the value utf8, json or bytes; sorted.
  std::vector<std::pair<std::string, DType>> byte_strings;
  std::string_view payload;

  [[nodiscard]] std::string_view BytesOf(const SafetensorsEntry& tensor) const {
    return payload.substr(static_cast<std::size_t>(tensor.begin),
                          static_cast<std::size_t>(tensor.end - tensor.begin));
  }
};

// In the result, the byte count of every tensor matches its dtype and shape, and every byte of the
// payload belongs to exactly one tensor. Errors: those of ReadSafetensors that do not concern
// fields.
Result<SafetensorsLayout> ReadSafetensorsLayout(std::string_view file);

}  // namespace sluice::store
