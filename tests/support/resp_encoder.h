// Returns a request as RESP bytes: {"ECHO", ...} is "*2\\r\\n$4\\r\\nECHO\\r\\n...".
#pragma once

#include <string>
#include <vector>

namespace sluice::tests {

inline std::string Encode(const std::vector<std::string>& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) {
    bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  return bytes;
}

}  // namespace sluice::tests
