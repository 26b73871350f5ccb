#include "store/tensor/dtype.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"

namespace sluice::store {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};

// In the order of the enum.
constexpr std::array<DTypeRow, kDTypes> kRows = {{
    {DType::kBool, "bool", 1},
    {DType::kUint8, "uint8", 1},
    {DType::kInt8, "int8", 1},
    {DType::kInt16, "int16", 2},
    {DType::kInt32, "int32", 4},
    {DType::kInt64, "int64", 8},
    {DType::kFloat16, "float16", 2},
    {DType::kBFloat16, "bfloat16", 2},
    {DType::kFloat32, "float32", 4},
    {DType::kFloat64, "float64", 8},
    {DType::kFloat8E4M3FN, "float8_e4m3fn", 1},
    {DType::kFloat8E5M2, "float8_e5m2", 1},
    {DType::kUtf8, "utf8", 1},
    {DType::kJson, "json", 1},
    {DType::kBytes, "bytes", 1},
}};

struct Alias {
  std::string_view name;
  DType dtype;
};
constexpr std::array<Alias, 3> kAliases = {{
    {"float", DType::kFloat32},
    {"double", DType::kFloat64},
    {"string", DType::kUtf8},
}};

constexpr bool InEnumOrder() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].dtype) != i) {
      return false;
    }
  }
  return true;
}
static_assert(InEnumOrder());

const DTypeRow& RowOf(DType dtype) {
  return kRows[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::string_view NameOf(DType dtype) {
  return RowOf(dtype).name;
}

Result<DType> ParseDType(std::string_view name) {
  for (const DTypeRow& row : kRows) {
    if (EqualsIgnoreCase(row.name, name)) {
      return row.dtype;
    }
  }
  for (const Alias& alias : kAliases) {
    if (EqualsIgnoreCase(alias.name, name)) {
      return alias.dtype;
    }
  }
  return Status(Code::kDType, fmt::format("unknown dtype '{}'", Printable(name)));
}

std::size_t SizeOf(DType dtype) {
  return RowOf(dtype).bytes;
}

bool IsByteString(DType dtype) {
  return dtype == DType::kUtf8 || dtype == DType::kJson || dtype == DType::kBytes;
}

bool IsSmallFloat(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat8E4M3FN ||
         dtype == DType::kFloat8E5M2;
}

}  // namespace sluice::store
