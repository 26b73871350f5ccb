#include "store/safetensors/safetensors_dtype.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace sluice::store {
namespace {

struct Token {
  std::string_view text;
  DType dtype;
};
constexpr std::array<Token, 12> kTokens = {{
    {"BOOL", DType::kBool},
    {"U8", DType::kUint8},
    {"I8", DType::kInt8},
    {"I16", DType::kInt16},
    {"I32", DType::kInt32},
    {"I64", DType::kInt64},
    {"F16", DType::kFloat16},
    {"BF16", DType::kBFloat16},
    {"F32", DType::kFloat32},
    {"F64", DType::kFloat64},
    {"F8_E4M3", DType::kFloat8E4M3FN},
    {"F8_E5M2", DType::kFloat8E5M2},
}};

}  // namespace

std::optional<DType> ParseSafetensorsDType(std::string_view text) {
  const auto* const row = std::find_if(kTokens.begin(), kTokens.end(),
                                       [&](const Token& token) { return token.text == text; });
  return row == kTokens.end() ? std::nullopt : std::optional(row->dtype);
}

std::string_view SafetensorsDType(DType dtype) {
  const DType stored = IsByteString(dtype) ? DType::kUint8 : dtype;
  const auto* const row = std::find_if(kTokens.begin(), kTokens.end(),
                                       [&](const Token& token) { return token.dtype == stored; });
  assert(row != kTokens.end());
  return row->text;
}

}  // namespace sluice::store
