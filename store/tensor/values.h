// Values as text: what VALUES brings and FORMAT values gives back.
//
// Numbers are decimal; floats are read as Python writes them (1.5, 1e-05, nan, inf), and written as
// the shortest text that reads back the same (1, 0.5, 1e-05); bool is 0 or 1. The small floats
// (IsSmallFloat) go through libtorch.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/tensor/dtype.h"
#include "store/tensor/torch_api.h"

namespace sluice::store {

// Writes texts.size() elements to `out`, which has room for them and needs no alignment.
// REQUIRES: `dtype` is no byte string; for a small float `torch` is not null.
// Errors: kError: a text that is no such number, an integer out of range. A float past its range
// becomes inf
//         (float8_e4m3fn, which has none: nan).
Status ParseValues(std::string_view field, DType dtype, std::span<const std::string_view> texts,
                   const SluiceTorchApi* torch, char* out);

// Appends the text of the element at `value`. REQUIRES: as ParseValues.
void FormatValue(DType dtype, const char* value, const SluiceTorchApi* torch, std::string& out);

}  // namespace sluice::store
