// The one encoder of RESP requests in the C++ tests and benchmarks.
#pragma once

#include <string>
#include <vector>

namespace sluice::tests {

// Returns the request as a RESP array of bulk strings.
inline std::string Encode(const std::vector<std::string>& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) {
    bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  return bytes;
}

}  // namespace sluice::tests
