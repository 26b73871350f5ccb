#include "store/tensor/values.h"

#include <cassert>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"

namespace sluice::store {
namespace {

constexpr int kSmallFloatDigitsMax = 9;  // enough for any float32

std::optional<bool> ParseBool(std::string_view text) {
  if (text == "1" || EqualsIgnoreCase(text, "true")) {
    return true;
  }
  if (text == "0" || EqualsIgnoreCase(text, "false")) {
    return false;
  }
  return std::nullopt;
}

// Parses as Python's float(), without spaces and underscores.
template <typename Float>
std::optional<Float> ParseFloat(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view digits = text.substr(negative || text.starts_with('+') ? 1 : 0);
  Float value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (stop != end || digits.starts_with('-') || digits.ends_with(')') || digits.empty()) {
    return std::nullopt;  // ')': from_chars accepts "nan(1)"
  }
  if (error == std::errc::result_out_of_range) {
    // Underflow or overflow: from_chars does not distinguish them.
    const std::string terminated(digits);
    value = sizeof(Float) == sizeof(float)
                ? static_cast<Float>(std::strtof(terminated.c_str(), nullptr))
                : static_cast<Float>(std::strtod(terminated.c_str(), nullptr));
  } else if (error != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

template <typename Integer>
Status ParseInteger(std::string_view field, DType dtype, std::string_view text, char* out) {
  Integer value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop == end && error == std::errc::result_out_of_range) {
    return Status(Code::kError, fmt::format("field '{}': '{}' is out of range for {}", field,
                                            Printable(text), NameOf(dtype)));
  }
  if (stop != end || error != std::errc()) {
    std::int64_t wide = 0;  // "-1" for an unsigned dtype is out of range
    const auto signed_result = std::from_chars(text.data(), end, wide);
    const bool is_number = !text.empty() && signed_result.ptr == end &&
                           signed_result.ec != std::errc::invalid_argument;
    return Status(Code::kError,
                  fmt::format("field '{}': '{}' is {} {}", field, Printable(text),
                              is_number ? "out of range for" : "not a value of", NameOf(dtype)));
  }
  std::memcpy(out, &value, sizeof(value));
  return {};
}

template <typename Value>
Status Store(std::string_view field, DType dtype, std::string_view text, std::optional<Value> value,
             char* out) {
  if (!value) {
    return Status(Code::kError, fmt::format("field '{}': '{}' is not a value of {}", field,
                                            Printable(text), NameOf(dtype)));
  }
  std::memcpy(out, &*value, sizeof(*value));
  return {};
}

Status ParseSmallFloat(std::string_view field, DType dtype, std::string_view text,
                       const SluiceTorchApi& torch, char* out) {
  const std::optional<float> wide = ParseFloat<float>(text);
  if (wide && torch.from_float32(static_cast<SluiceDType>(dtype), &*wide, 1, out) != 0) {
    return Status(Code::kError,
                  fmt::format("field '{}': libtorch failed on '{}'", field, Printable(text)));
  }
  return wide ? Status() : Store<float>(field, dtype, text, wide, out);
}

Status ParseOne(std::string_view field, DType dtype, std::string_view text,
                const SluiceTorchApi* torch, char* out) {
  switch (dtype) {
    case DType::kBool:
      return Store(field, dtype, text, ParseBool(text), out);
    case DType::kUint8:
      return ParseInteger<std::uint8_t>(field, dtype, text, out);
    case DType::kInt8:
      return ParseInteger<std::int8_t>(field, dtype, text, out);
    case DType::kInt16:
      return ParseInteger<std::int16_t>(field, dtype, text, out);
    case DType::kInt32:
      return ParseInteger<std::int32_t>(field, dtype, text, out);
    case DType::kInt64:
      return ParseInteger<std::int64_t>(field, dtype, text, out);
    case DType::kFloat32:
      return Store(field, dtype, text, ParseFloat<float>(text), out);
    case DType::kFloat64:
      return Store(field, dtype, text, ParseFloat<double>(text), out);
    default:
      assert(torch != nullptr && IsSmallFloat(dtype));
      return ParseSmallFloat(field, dtype, text, *torch, out);
  }
}

template <typename Value>
Value Load(const char* from) {
  Value value = {};
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename Float>
void FormatFloat(Float value, std::string& out) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  fmt::format_to(std::back_inserter(out), "{}", value);
}

// Formats the shortest decimal that libtorch rounds to the same bits.
void FormatSmallFloat(DType dtype, const char* value, const SluiceTorchApi& torch,
                      std::string& out) {
  const auto type = static_cast<SluiceDType>(dtype);
  float wide = 0;
  if (torch.to_float32(type, value, 1, &wide) != 0 || !std::isfinite(wide)) {
    FormatFloat(wide, out);
    return;
  }
  std::string exact;  // "448" is preferred to an equally short "450"
  FormatFloat(wide, exact);
  std::string text;
  for (int digits = 1; digits <= kSmallFloatDigitsMax; ++digits) {
    text = fmt::format("{:.{}g}", wide, digits);
    const float read = std::strtof(text.c_str(), nullptr);
    char back[2] = {};
    if (torch.from_float32(type, &read, 1, back) == 0 &&
        std::memcmp(back, value, SizeOf(dtype)) == 0) {
      text.clear();
      FormatFloat(read, text);
      break;
    }
  }
  out += !text.empty() && text.size() < exact.size() ? text : exact;
}

}  // namespace

Status ParseValues(std::string_view field, DType dtype, std::span<const std::string_view> texts,
                   const SluiceTorchApi* torch, char* out) {
  for (const std::string_view text : texts) {
    TRY(ParseOne(field, dtype, text, torch, out));
    out += SizeOf(dtype);
  }
  return {};
}

void FormatValue(DType dtype, const char* value, const SluiceTorchApi* torch, std::string& out) {
  const auto integer = [&out](auto number) {
    fmt::format_to(std::back_inserter(out), "{}", number);
  };
  switch (dtype) {
    case DType::kBool:
      out += Load<std::uint8_t>(value) != 0 ? '1' : '0';
      return;
    case DType::kUint8:
      return integer(Load<std::uint8_t>(value));
    case DType::kInt8:
      return integer(Load<std::int8_t>(value));
    case DType::kInt16:
      return integer(Load<std::int16_t>(value));
    case DType::kInt32:
      return integer(Load<std::int32_t>(value));
    case DType::kInt64:
      return integer(Load<std::int64_t>(value));
    case DType::kFloat32:
      return FormatFloat(Load<float>(value), out);
    case DType::kFloat64:
      return FormatFloat(Load<double>(value), out);
    default:
      assert(torch != nullptr && IsSmallFloat(dtype));
      FormatSmallFloat(dtype, value, *torch, out);
  }
}

}  // namespace sluice::store
