// The names of fields in safetensors files. NAME.values, NAME.shapes and __metadata__ have a
// meaning there, so a field whose name would collide with them is escaped:
//
//   begins with "__" or "%"                  "%" before it    __turns   is  %__turns
//   ends with ".values", ".shapes" or "%"    "%" after it     a.values  is  a.values%
//
// Thread safety: any thread; there is no shared state.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace sluice::store {

inline constexpr std::string_view kSafetensorsValues = ".values";
inline constexpr std::string_view kSafetensorsShapes = ".shapes";

// Returns the name of `field` in a file. Different fields have different names.
std::string SafetensorsName(std::string_view field);

// Returns the field whose name in a file is `name`. Errors: kError: no field has this name, for
// example "__x" or "a.values"; the field's name is invalid (CheckName).
Result<std::string> FieldOfSafetensorsName(std::string_view name);

}  // namespace sluice::store
