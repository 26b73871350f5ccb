// The parts of a random command: names that often collide, fields of a few dtypes, shapes and
// bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

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
  std::string Patch() {
    const std::string value = Pick(4) == 0 ? "null"
                              : Pick(3) == 0
                                  ? fmt::format("{{\"in\":{}}}", Pick(3) == 0 ? "null" : "1.5")
                                  : fmt::format("{}", Pick(100));
    return fmt::format("{{\"{}\":{}}}", Name("t", 4), value);
  }

  struct Field {
    std::string name;
    std::string dtype;
    bool byte_string;
    std::size_t size;
  };
  Field PickField() {
    const std::string name = Name("f", 6);
    const char number = name.back();
    if (number == '5') {
      return {name, "utf8", true, 1};
    }
    if (Pick(8) == 0) {  // a dtype other than the usual one: an error if the field exists
      return {name, "int16", false, 2};
    }
    return number < '3' ? Field{name, "float32", false, 4} : Field{name, "uint8", false, 1};
  }
  std::vector<std::int64_t> PickShape(std::size_t rank, bool large) {
    std::vector<std::int64_t> shape;
    for (std::size_t d = 0; d < rank; ++d) {
      shape.push_back(static_cast<std::int64_t>(Pick(large && d == 0 ? 9000 : 4)));
    }
    return shape;
  }
  static std::size_t Count(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t dim : shape) {
      count *= static_cast<std::size_t>(dim);
    }
    return count;
  }

 protected:
  std::mt19937 random_;
};

}  // namespace sluice::tests
