#include "base/ids.h"

#include <array>
#include <string>

#include <fmt/format.h>

namespace sluice {
namespace {

constexpr std::size_t kPrintableBytesMax = 128;

// The first code point of a text; size 0 if the bytes are not valid UTF-8.
struct CodePoint {
  std::size_t size = 0;
  std::uint32_t value = 0;
};

CodePoint FrontOf(std::string_view text) {
  const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t first = byte_at(0);
  if (first < 0x80) {
    return {.size = 1, .value = first};
  }
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) {
    return {};
  }
  std::uint32_t value = first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte_at(i) & 0xC0U) != 0x80U) {
      return {};
    }
    value = (value << 6U) | (byte_at(i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kSmallest[size] || value > 0x10FFFF || surrogate) {
    return {};
  }
  return {.size = size, .value = value};
}

bool IsControl(std::uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point <= 0x9F);
}

Status BadName(std::string_view what, std::string_view name, std::string_view why) {
  return {Code::kError, fmt::format("{} '{}' {}", what, Printable(name), why)};
}

}  // namespace

Status CheckName(std::string_view what, std::string_view name) {
  if (name.empty()) {
    return {Code::kError, fmt::format("{} name is empty", what)};
  }
  if (name.size() > kNameBytesMax) {
    return BadName(what, name, fmt::format("is longer than {} bytes", kNameBytesMax));
  }
  const auto plain = [](char c) { return c >= 0x20 && c < 0x7F; };
  for (std::size_t at = 0; at < name.size();) {
    if (plain(name[at])) {  // fast path: nearly all names are ASCII
      ++at;
      continue;
    }
    const CodePoint front = FrontOf(name.substr(at));
    if (front.size == 0) {
      return BadName(what, name, "is not valid UTF-8");
    }
    if (IsControl(front.value)) {
      return BadName(what, name, "has a control character");
    }
    at += front.size;
  }
  return {};
}

std::string Printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint front = FrontOf(text.substr(at));
    const bool plain = front.size != 0 && !IsControl(front.value);
    const std::string_view bytes = text.substr(at, front.size == 0 ? 1 : front.size);
    if (out.size() + (plain ? bytes.size() : 4 * bytes.size()) > kPrintableBytesMax) {
      return out + "...";
    }
    if (plain) {
      out += bytes;
    } else {
      for (const char byte : bytes) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    }
    at += bytes.size();
  }
  return out;
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        out += '\\';
        out += c;
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c >= ' ' && c <= '~') {
          out += c;
        } else {
          out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
  }
  return out + '"';
}

}  // namespace sluice
