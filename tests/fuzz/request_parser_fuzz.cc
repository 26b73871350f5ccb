// Feeds the parser arbitrary bytes twice, whole and in pieces, and requires the same transcript.
// The length of the input seeds the sizes of the pieces, so corpus/ (sessions of real clients)
// needs no conversion.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>

#include "tests/resp/parser_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using sluice::tests::Parse;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::minstd_rand random(static_cast<unsigned>(size) + 1U);
  const std::size_t size_max = std::size_t{1} << (size % 12U);
  const auto whole = sluice::tests::ParseWhole(bytes);
  if (Parse(bytes, [&] { return 1 + random() % size_max; }) != whole) {
    std::abort();
  }
  return 0;
}
