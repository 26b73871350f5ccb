// The safetensors names of the dtypes.
#pragma once

#include <optional>
#include <string_view>

#include "store/tensor/dtype.h"

namespace sluice::store {

// Returns for example "F32"; "U8" for the byte-string types.
std::string_view SafetensorsDType(DType dtype);

// Returns nullopt if `text` is not a dtype or not a supported one.
std::optional<DType> ParseSafetensorsDType(std::string_view text);

}  // namespace sluice::store
