// KeyIndex: a partition's rows by key. A hash table whose growth never stops the world: it is made
// of many small ones, and grows by splitting one of them at a time in two, as linear hashing does
// (Litwin, 1980). One table of ten million keys would take a second to grow, under the engine.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "base/ids.h"

namespace sluice::store {

class KeyIndex {
 public:
  explicit KeyIndex(std::uint64_t seed) : hash_{seed} {}

  [[nodiscard]] std::size_t size() const { return size_; }
  // kNoRow where there is no such key.
  [[nodiscard]] RowIndex Find(std::string_view key) const;
  // REQUIRES: the key is new. Errors: std::bad_alloc; nothing changed then.
  void Add(Text key, RowIndex index);
  // No effect where there is no such key.
  void Remove(std::string_view key) noexcept;

  // Forgets some thousand keys, whichever. True when none is left.
  bool TakeApart() noexcept;

 private:
  using Table = boost::unordered_flat_map<Text, RowIndex, TextHash, TextEqual>;

  [[nodiscard]] std::size_t TableOf(std::string_view key) const;
  void Grow();

  TextHash hash_;
  std::vector<std::unique_ptr<Table>> tables_;
  std::size_t round_ = 1;  // a power of two: the tables there were when this round of splits began
  std::size_t size_ = 0;
};

}  // namespace sluice::store
