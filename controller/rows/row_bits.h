// RowBits: a set of rows, as bits by index. Empty chunks of 4,096 rows use no memory, so a
// partition may stream for weeks.
//
//   chunks_:   0 -> | 64 words | counts |   3 -> | 64 words | counts |   ...     by index / 4096
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <boost/container/flat_map.hpp>

#include "base/ids.h"

namespace sluice::controller {

class RowBits {
 public:
  static constexpr RowIndex kChunkRows = 4096;

  RowBits() = default;
  RowBits(const RowBits&) = delete;
  RowBits& operator=(const RowBits&) = delete;

  void Swap(RowBits& other) {
    chunks_.swap(other.chunks_);
    std::swap(count_, other.count_);
  }
  // The next Insert(row) allocates nothing if no row is erased before. Errors: std::bad_alloc.
  void Reserve(RowIndex row) { static_cast<void>(ChunkFor(row)); }
  // Returns false if the row was in the set. Errors: std::bad_alloc; nothing changed then.
  // REQUIRES: row >= 0.
  bool Insert(RowIndex row);
  // Inserts begin .. end-1. Errors: std::bad_alloc; some may be inserted then.
  // REQUIRES: 0 <= begin.
  void InsertAll(RowIndex begin, RowIndex end);
  // Returns false if the row was not in the set.
  bool Erase(RowIndex row) noexcept;
  void Clear() noexcept;
  // Costs a tenth of a microsecond for 4,096 rows. Errors: std::bad_alloc; nothing changed then.
  void CopyFrom(const RowBits& other);

  // `row` may be any number, since clients name rows.
  [[nodiscard]] bool Contains(RowIndex row) const noexcept;
  // Returns true if begin .. end-1 are all in the set. REQUIRES: 0 <= begin.
  [[nodiscard]] bool ContainsAll(RowIndex begin, RowIndex end) const noexcept;
  [[nodiscard]] std::int64_t Count() const noexcept { return count_; }
  // The first row at or after `row`; the last row at or before it. kNoRow if there is none.
  [[nodiscard]] RowIndex NextFrom(RowIndex row) const noexcept;
  [[nodiscard]] RowIndex LastUpTo(RowIndex row) const noexcept;
  [[nodiscard]] RowIndex Last() const noexcept {
    return chunks_.empty() ? kNoRow : LastUpTo((chunks_.rbegin()->first + 1) * kChunkRows - 1);
  }
  // Returns the first row that is not in `other`.
  [[nodiscard]] RowIndex FirstNotIn(const RowBits& other) const noexcept;
  // Appends the row of each of `ranks` (0: the first row). REQUIRES: ascending, all < Count().
  // Errors: std::bad_alloc.
  void AtRanks(std::span<const std::int64_t> ranks, std::vector<RowIndex>& rows) const;

  // Calls function(row) for each row, in order. REQUIRES: the function does not change the set.
  template <typename Function>
  void ForEach(const Function& function) const {
    for (const auto& [number, chunk] : chunks_) {
      for (std::size_t w = 0; w < kWords; ++w) {
        for (std::uint64_t word = chunk->words[w]; word != 0; word &= word - 1) {
          function(RowOf(number, w, word));
        }
      }
    }
  }
  // Memory used.
  [[nodiscard]] std::int64_t Bytes() const noexcept {
    return static_cast<std::int64_t>(chunks_.size() * (sizeof(Chunk) + 2 * sizeof(void*)));
  }

 private:
  static constexpr std::size_t kWordRows = 64;
  static constexpr std::size_t kWords = kChunkRows / kWordRows;
  static constexpr std::size_t kBlockWords = 8;
  struct Chunk {
    std::array<std::uint64_t, kWords> words = {};
    std::array<std::int16_t, kWords / kBlockWords> counts = {};  // of each block of 8 words
    std::int64_t count = 0;
  };
  static void AtRanks(RowIndex number, const Chunk& chunk, std::int64_t passed,
                      std::span<const std::int64_t>& ranks, std::vector<RowIndex>& rows);
  static RowIndex RowOf(RowIndex number, std::size_t word_index, std::uint64_t word) {
    return number * kChunkRows + static_cast<RowIndex>(word_index * kWordRows) +
           std::countr_zero(word);
  }
  static std::size_t WordOf(RowIndex row) {
    return static_cast<std::size_t>(row % kChunkRows) / kWordRows;
  }
  static std::uint64_t BitOf(RowIndex row) {
    return std::uint64_t{1} << (static_cast<std::uint64_t>(row) % kWordRows);
  }
  Chunk& ChunkFor(RowIndex row);
  // Returns the bits of begin .. end-1 that are in the word of `begin`.
  static std::uint64_t MaskOf(RowIndex begin, RowIndex end);

  boost::container::flat_map<RowIndex, std::unique_ptr<Chunk>> chunks_;
  std::int64_t count_ = 0;
};

}  // namespace sluice::controller
