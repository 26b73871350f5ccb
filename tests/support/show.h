// Prints a reply as redis-cli shows it on a terminal.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "tests/support/resp_decoder.h"

namespace sluice::tests {

inline std::string Quoted(std::string_view text) {
  struct Escape {
    char byte;
    std::string_view text;
  };
  constexpr Escape kEscapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\r', "\\r"},
                                 {'\t', "\\t"}, {'\a', "\\a"},  {'\b', "\\b"}};
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const Escape* found = nullptr;
    for (const Escape& escape : kEscapes) {
      found = escape.byte == c ? &escape : found;
    }
    if (found != nullptr) {
      out += found->text;
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      char hex[5];
      std::snprintf(hex, sizeof(hex), "\\x%02x", static_cast<unsigned>(byte));
      out += hex;
    }
  }
  return out + '"';
}

inline std::string ShowLeaf(const Value& value) {
  switch (value.type) {
    case '_':
      return "(nil)\n";
    case '-':
      return "(error) " + value.text + "\n";
    case ':':
      return "(integer) " + value.text + "\n";
    case ',':
      return "(double) " + value.text + "\n";
    case '#':
      return value.text == "t" ? "(true)\n" : "(false)\n";
    case '$':
      return Quoted(value.text) + "\n";
    case '=':
      return value.text.substr(4) + (value.text.ends_with('\n') ? "" : "\n");
    default:
      return value.text + "\n";
  }
}

// Every line ends in a newline; `indent` precedes all lines but the first.
inline std::string Show(const Value& value, const std::string& indent = "") {
  const bool map = value.type == '%';
  if (!map && value.type != '*' && value.type != '~' && value.type != '>') {
    return ShowLeaf(value);
  }
  if (value.items.empty()) {
    return map ? "(empty hash)\n" : value.type == '~' ? "(empty set)\n" : "(empty array)\n";
  }
  const std::size_t count = map ? value.items.size() / 2 : value.items.size();
  const std::size_t width = std::to_string(count).size();
  const char mark = map ? '#' : value.type == '~' ? '~' : ')';
  const std::string deeper = indent + std::string(width + 2, ' ');
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i + 1);
    out += (i == 0 ? "" : indent) + std::string(width - number.size(), ' ') + number + mark + ' ';
    if (map) {
      std::string key = Show(value.items[2 * i], deeper);
      key.pop_back();
      out += key + " => " + Show(value.items[2 * i + 1], deeper);
    } else {
      out += Show(value.items[i], deeper);
    }
  }
  return out;
}

}  // namespace sluice::tests
