// Parser of a safetensors header's JSON. Checks nothing against the file.
#pragma once

#include <string_view>

#include "base/status.h"
#include "store/safetensors/safetensors_layout.h"

namespace sluice::store {

// In the result, tensor names may be duplicate, begin and end are unchecked, `payload` is empty.
// Allocates a small multiple of the size of `header`.
// Errors: kError, kDType; kShape for a shape over kRankMax + 1 dims or a number above 2^63-1.
Result<SafetensorsLayout> ParseSafetensorsHeader(std::string_view header);

// Returns the error "tensor 'x': why". REQUIRES: `code` is not kOk.
Status SafetensorsError(Code code, std::string_view tensor, std::string_view why);

}  // namespace sluice::store
