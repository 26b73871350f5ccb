// KeyIndex: a partition's rows by key. A hash table that grows incrementally: it consists of many
// small tables and splits one of them at a time, as linear hashing does (Litwin, 1980). Growing a
// single table of ten million keys would hold the engine lock for a second.
//
// Thread safety: one caller at a time, which holds the engine lock.
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
  // Returns kNoRow if the key does not exist.
  [[nodiscard]] RowIndex Find(std::string_view key) const;
  // REQUIRES: the key does not exist. Errors: std::bad_alloc; nothing has changed then.
  void Add(Text key, RowIndex index);
  // No effect if the key does not exist.
  void Remove(std::string_view key) noexcept;

  // Removes some thousand arbitrary keys. Returns true when none is left.
  bool TakeApart() noexcept;

 private:
  using Table = boost::unordered_flat_map<Text, RowIndex, TextHash, TextEqual>;

  [[nodiscard]] std::size_t TableOf(std::string_view key) const;
  void Grow();

  TextHash hash_;
  std::vector<std::unique_ptr<Table>> tables_;
  std::size_t round_ = 1;  // number of tables when this round of splits began, a power of 2
  std::size_t size_ = 0;
};

}  // namespace sluice::store
