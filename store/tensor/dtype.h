// DType: the type of a tensor's elements. Names are PyTorch's; RedisAI's names are accepted, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace sluice::store {

enum class DType : std::uint8_t {
  kBool,
  kUint8,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFloat16,
  kBFloat16,
  kFloat32,
  kFloat64,
  kFloat8E4M3FN,
  kFloat8E5M2,
  kUtf8,  // from here on the byte-string types: a value is a byte string, its shape is [length]
  kJson,
  kBytes,
};
inline constexpr std::size_t kDTypes = 15;

// Returns for example "int64"; never fails.
std::string_view NameOf(DType dtype);

// Ignores case; FLOAT DOUBLE BOOL STRING are float32 float64 bool utf8.
// Errors: kDType "unknown dtype 'x'".
Result<DType> ParseDType(std::string_view name);

// Bytes of one element; 1 for the byte-string types.
std::size_t SizeOf(DType dtype);

bool IsByteString(DType dtype);
// True for float16, bfloat16 and the two 8-bit floats, which libtorch converts to and from text.
bool IsSmallFloat(DType dtype);

}  // namespace sluice::store
