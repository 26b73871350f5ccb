// A decoder of RESP2 and RESP3 replies for tests: small, slow, and independent of resp/.
//
//   type   the marker: + - : $ * _ # , ( ! = % ~ > |
//   text   of a leaf, without marker, length and CRLF; of a verbatim string with its "txt:"
//   items  of an aggregate; of a map key, value, key, value, ...
//
// RESP2's "$-1" and "*-1" come out as type '_' with the text "$-1" or "*-1"; RESP3's null has no
// text.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::tests {

struct Value {
  char type = 0;
  std::string text;
  std::vector<Value> items;

  friend bool operator==(const Value& a, const Value& b) {
    return a.type == b.type && a.text == b.text && a.items == b.items;
  }
};

// Sets `out` to the first value of `bytes`. Returns the number of bytes read; nullopt if more are
// needed. Throws std::runtime_error for an invalid reply.
inline std::optional<std::size_t> Decode(std::string_view bytes, Value& out) {
  out = Value();
  const std::size_t line_end = bytes.find("\r\n");
  if (line_end == std::string_view::npos) {
    return std::nullopt;
  }
  out.type = bytes[0];
  const std::string_view line = bytes.substr(1, line_end == 0 ? 0 : line_end - 1);
  std::size_t used = line_end + 2;
  if (std::string_view("+-:_#,(").find(out.type) != std::string_view::npos) {
    if (line.find_first_of("\r\n") != std::string_view::npos) {
      throw std::runtime_error("a line end inside a line");
    }
    out.text = line;
    return used;
  }
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
  if (error != std::errc() || end != line.data() + line.size() || count < -1) {
    throw std::runtime_error("bad length: " + std::string(bytes.substr(0, line_end)));
  }
  if (count == -1) {
    out.text = bytes.substr(0, line_end);
    out.type = '_';
    return used;
  }
  auto size = static_cast<std::size_t>(count);
  if (std::string_view("$=!").find(out.type) != std::string_view::npos) {
    if (bytes.size() < used + size + 2) {
      return std::nullopt;
    }
    if (bytes.substr(used + size, 2) != "\r\n") {
      throw std::runtime_error("no CRLF after a bulk string");
    }
    out.text = bytes.substr(used, size);
    return used + size + 2;
  }
  if (std::string_view("*%~>|").find(out.type) == std::string_view::npos) {
    throw std::runtime_error("unknown type: " + std::string(bytes.substr(0, line_end)));
  }
  size *= out.type == '%' || out.type == '|' ? 2 : 1;
  for (std::size_t i = 0; i < size; ++i) {
    const auto item = Decode(bytes.substr(used), out.items.emplace_back());
    if (!item) {
      return std::nullopt;
    }
    used += *item;
  }
  return used;
}

// Returns all values of `bytes`. Throws if the last one is incomplete.
inline std::vector<Value> DecodeAll(std::string_view bytes) {
  std::vector<Value> values;
  while (!bytes.empty()) {
    const auto used = Decode(bytes, values.emplace_back());
    if (!used) {
      throw std::runtime_error("half a reply: " + std::string(bytes));
    }
    bytes.remove_prefix(*used);
  }
  return values;
}

}  // namespace sluice::tests
