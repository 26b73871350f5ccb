// RowMap: a map from row index to value: like RowBits, with a value instead of a bit. It grows by
// one leaf of 64 rows at a time, so no call moves the whole map, as a growing hash table would
// (20 ms with a million rows).
//
//   chunks_:   0 -> | leaf 0 | null | leaf 2 | ... leaf 63 |   3 -> ...       by index / 4096
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

#include <boost/container/flat_map.hpp>

#include "base/ids.h"

namespace sluice::controller {

// `Value`: a number or a pointer; Value() means no value.
template <typename Value>
class RowMap {
 public:
  RowMap() = default;
  RowMap(RowMap&& other) noexcept
      : chunks_(std::move(other.chunks_)),
        leaves_(std::exchange(other.leaves_, 0)),
        count_(std::exchange(other.count_, 0)) {
    other.chunks_.clear();
  }
  // NOLINTNEXTLINE(bugprone-exception-escape): swapping maps of equal allocators moves pointers
  RowMap& operator=(RowMap&& other) noexcept {
    chunks_.swap(other.chunks_);
    std::swap(leaves_, other.leaves_);
    std::swap(count_, other.count_);
    return *this;
  }

  // Returns Value() if there is none. `row` may be any number, since clients name rows.
  [[nodiscard]] Value Find(RowIndex row) const noexcept {
    const Leaf* const leaf = row < 0 ? nullptr : FindLeaf(row);
    return leaf == nullptr ? Value() : leaf->values[PlaceOf(row)];
  }
  // The next Set(row, ...) allocates nothing if no row is erased before. Errors: std::bad_alloc.
  void Reserve(RowIndex row) { static_cast<void>(LeafFor(row)); }
  // REQUIRES: row >= 0; the value is not Value(). Errors: std::bad_alloc; nothing changed then.
  void Set(RowIndex row, Value value) {
    Leaf& leaf = LeafFor(row);
    Value& here = leaf.values[PlaceOf(row)];
    const bool is_new = here == Value();
    here = value;
    leaf.count += is_new ? 1 : 0;
    count_ += is_new ? 1 : 0;
  }
  // No effect if the row has no value.
  void Erase(RowIndex row) noexcept {
    Leaf* const leaf = row < 0 ? nullptr : FindLeaf(row);
    if (leaf == nullptr || leaf->values[PlaceOf(row)] == Value()) {
      return;
    }
    leaf->values[PlaceOf(row)] = Value();
    --count_;
    if (--leaf->count == 0) {
      EraseLeaf(row);
    }
  }
  [[nodiscard]] std::int64_t Count() const noexcept { return count_; }
  // Memory used.
  [[nodiscard]] std::int64_t Bytes() const noexcept {
    return static_cast<std::int64_t>(leaves_ * sizeof(Leaf) + chunks_.size() * sizeof(Chunk));
  }
  // Calls function(row) for each row with a value, in order.
  template <typename Function>
  void ForEach(const Function& function) const {
    for (const auto& [number, chunk] : chunks_) {
      for (std::size_t i = 0; i < kLeaves; ++i) {
        if (chunk->leaves[i] != nullptr) {
          ForEachOf(*chunk->leaves[i], (static_cast<std::size_t>(number) * kLeaves + i) * kLeafRows,
                    function);
        }
      }
    }
  }

 private:
  static constexpr std::size_t kLeafRows = 64;
  static constexpr std::size_t kLeaves = 64;  // per chunk
  struct Leaf {
    std::array<Value, kLeafRows> values = {};
    std::size_t count = 0;
  };
  struct Chunk {
    std::array<std::unique_ptr<Leaf>, kLeaves> leaves;
    std::size_t count = 0;
  };
  template <typename Function>
  static void ForEachOf(const Leaf& leaf, std::size_t first_row, const Function& function) {
    for (std::size_t place = 0; place < kLeafRows; ++place) {
      if (leaf.values[place] != Value()) {
        function(static_cast<RowIndex>(first_row + place));
      }
    }
  }
  static RowIndex NumberOf(RowIndex row) {
    return row / static_cast<RowIndex>(kLeafRows * kLeaves);
  }
  static std::size_t LeafOf(RowIndex row) {
    return static_cast<std::size_t>(row) / kLeafRows % kLeaves;
  }
  static std::size_t PlaceOf(RowIndex row) { return static_cast<std::size_t>(row) % kLeafRows; }
  [[nodiscard]] Leaf* FindLeaf(RowIndex row) const noexcept {
    const auto it = chunks_.find(NumberOf(row));
    return it == chunks_.end() ? nullptr : it->second->leaves[LeafOf(row)].get();
  }
  Leaf& LeafFor(RowIndex row) {
    auto it = chunks_.find(NumberOf(row));
    if (it == chunks_.end()) {
      it = chunks_.emplace(NumberOf(row), std::make_unique<Chunk>()).first;
    }
    Chunk& chunk = *it->second;
    std::unique_ptr<Leaf>& leaf = chunk.leaves[LeafOf(row)];
    if (leaf == nullptr) {
      leaf = std::make_unique<Leaf>();
      ++chunk.count;
      ++leaves_;
    }
    return *leaf;
  }
  void EraseLeaf(RowIndex row) noexcept {
    const auto it = chunks_.find(NumberOf(row));
    it->second->leaves[LeafOf(row)] = nullptr;
    --leaves_;
    if (--it->second->count == 0) {
      chunks_.erase(it);
    }
  }

  boost::container::flat_map<RowIndex, std::unique_ptr<Chunk>> chunks_;
  std::size_t leaves_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace sluice::controller
