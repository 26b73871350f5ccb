// Feeds the parser arbitrary bytes twice, whole and in pieces, and wants the same transcript. The
// first byte of the input seeds the sizes of the pieces.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>

#include "tests/resp/parser_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  using sluice::tests::Parse;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::minstd_rand random(data[0] + 1U);
  const std::size_t size_max = std::size_t{1} << (data[0] % 12U);
  const auto whole = sluice::tests::ParseWhole(bytes);
  if (Parse(bytes, [&] { return 1 + random() % size_max; }) != whole) {
    std::abort();
  }
  return 0;
}
