// Values as text: parses VALUES and formats FORMAT values.
//
// Numbers are decimal. Floats are parsed in Python's notation (1.5, 1e-05, nan, inf) and formatted
// as the shortest text that parses to the same value (1, 0.5, 1e-05). bool is 0 or 1. libtorch
// converts the small floats (IsSmallFloat).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/tensor/dtype.h"
#include "store/tensor/torch_api.h"

namespace sluice::store {

// Writes texts.size() elements to `out`, which has space for them and needs no alignment. A float
// out of range becomes inf (nan for float8_e4m3fn, which has no inf).
// REQUIRES: `dtype` is not a byte-string type; for a small float `torch` is not null.
// Errors: kError: a text is not a number of this dtype, or an integer is out of range.
Status ParseValues(std::string_view field, DType dtype, std::span<const std::string_view> texts,
                   const SluiceTorchApi* torch, char* out);

// Appends the text of the element at `value`. REQUIRES: as ParseValues.
void FormatValue(DType dtype, const char* value, const SluiceTorchApi* torch, std::string& out);

}  // namespace sluice::store
