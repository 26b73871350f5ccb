// What safetensors calls the dtypes.
#pragma once

#include <optional>
#include <string_view>

#include "store/tensor/dtype.h"

namespace sluice::store {

// "F32"; the byte-string types are "U8".
std::string_view SafetensorsDType(DType dtype);

// nullopt: one that the store lacks, or no dtype.
std::optional<DType> ParseSafetensorsDType(std::string_view text);

}  // namespace sluice::store
