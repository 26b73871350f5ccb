#include "store/safetensors/safetensors_name.h"

#include <fmt/format.h>

#include "base/ids.h"
#include "store/safetensors/safetensors_header.h"

namespace sluice::store {
namespace {

constexpr char kEscape = '%';

}  // namespace

std::string SafetensorsName(std::string_view field) {
  std::string name;
  if (field.starts_with("__") || field.starts_with(kEscape)) {
    name += kEscape;
  }
  name += field;
  if (field.ends_with(kSafetensorsValues) || field.ends_with(kSafetensorsShapes) ||
      field.ends_with(kEscape)) {
    name += kEscape;
  }
  return name;
}

Result<std::string> FieldOfSafetensorsName(std::string_view name) {
  std::string_view field = name;
  if (field.starts_with(kEscape)) {
    field.remove_prefix(1);
  }
  if (field.ends_with(kEscape)) {
    field.remove_suffix(1);
  }
  if (SafetensorsName(field) != name) {
    const bool half = name.ends_with(kSafetensorsValues) || name.ends_with(kSafetensorsShapes);
    return SafetensorsError(
        Code::kError, name,
        fmt::format("a field '{}' is named '{}' in a file{}", Printable(name),
                    Printable(SafetensorsName(name)),
                    half ? "; a ragged field has both .values and .shapes" : ""));
  }
  TRY(CheckName("field", field));
  return std::string(field);
}

}  // namespace sluice::store
