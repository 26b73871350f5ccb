// The JSON of a safetensors header, as it is written there: nothing is checked against the file.
#pragma once

#include <string_view>

#include "base/status.h"
#include "store/safetensors/safetensors_layout.h"

namespace sluice::store {

// Tensors as they stand, with names that may be there twice, begin and end unchecked; `payload` is
// empty. What it allocates is a small multiple of `header`.
// Errors: kError, kDType; kShape for a shape over kRankMax + 1 dims or a number past 2^63-1.
Result<SafetensorsLayout> ParseSafetensorsHeader(std::string_view header);

// "tensor 'x': why". REQUIRES: `code` is not kOk.
Status SafetensorsError(Code code, std::string_view tensor, std::string_view why);

}  // namespace sluice::store
