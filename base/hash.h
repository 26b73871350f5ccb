// Hash and equality of keys and names for hash maps. The hash is seeded XXH3, so clients cannot
// choose keys that collide. Both accept a Text or a view, so a lookup creates no Text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace sluice {

std::size_t HashBytes(std::string_view bytes, std::uint64_t seed);

struct TextHash {
  using is_transparent = void;
  using is_avalanching = void;  // XXH3 mixes well, so the map does not mix again
  std::uint64_t seed = 0;
  std::size_t operator()(std::string_view bytes) const { return HashBytes(bytes, seed); }
  std::size_t operator()(const Text& text) const { return HashBytes(text.View(), seed); }
};

struct TextEqual {
  using is_transparent = void;
  bool operator()(const Text& a, const Text& b) const { return a.View() == b.View(); }
  bool operator()(const Text& a, std::string_view b) const { return a.View() == b; }
  bool operator()(std::string_view a, const Text& b) const { return a == b.View(); }
};

}  // namespace sluice
