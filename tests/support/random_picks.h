// Random numbers, names and bytes for tests that repeat a seed: names that often collide.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include <fmt/format.h>

namespace sluice::tests {

// Returns the number in a variable of the environment.
inline unsigned FromEnvironment(const char* name, unsigned otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::atoi(text));
}

class RandomPicks {
 public:
  explicit RandomPicks(unsigned seed) : random_(seed) {}

  std::size_t Pick(std::size_t count) { return random_() % count; }
  std::string Name(const char* stem, std::size_t count) {
    return fmt::format("{}{}", stem, Pick(count));
  }
  std::string Bytes(std::size_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) {
      c = static_cast<char>(random_());
    }
    return bytes;
  }

 protected:
  std::mt19937 random_;
};

}  // namespace sluice::tests
