#include "controller/rows/row_bits.h"

#include <iterator>

namespace sluice::controller {

RowBits::Chunk& RowBits::ChunkFor(RowIndex row) {
  const RowIndex number = row / kChunkRows;
  // Rows mostly arrive in order, so it is usually the last chunk.
  if (!chunks_.empty() && std::prev(chunks_.end())->first == number) {
    return *std::prev(chunks_.end())->second;
  }
  const auto it = chunks_.find(number);
  return it != chunks_.end() ? *it->second
                             : *chunks_.emplace(number, std::make_unique<Chunk>()).first->second;
}

bool RowBits::Insert(RowIndex row) {
  Chunk& chunk = ChunkFor(row);
  std::uint64_t& word = chunk.words[WordOf(row)];
  if ((word & BitOf(row)) != 0) {
    return false;
  }
  word |= BitOf(row);
  ++chunk.counts[WordOf(row) / kBlockWords];
  ++chunk.count;
  ++count_;
  return true;
}

std::uint64_t RowBits::MaskOf(RowIndex begin, RowIndex end) {
  const auto first = static_cast<std::uint64_t>(begin) % kWordRows;
  const auto rows = static_cast<std::uint64_t>(end - begin);
  const std::uint64_t from_first = ~std::uint64_t{0} << first;
  return first + rows >= kWordRows ? from_first
                                   : from_first & ((std::uint64_t{1} << (first + rows)) - 1);
}

void RowBits::InsertAll(RowIndex begin, RowIndex end) {
  while (begin < end) {
    const std::uint64_t mask = MaskOf(begin, end);
    Chunk& chunk = ChunkFor(begin);
    std::uint64_t& word = chunk.words[WordOf(begin)];
    const int added = std::popcount(mask & ~word);
    word |= mask;
    std::int16_t& in_block = chunk.counts[WordOf(begin) / kBlockWords];
    in_block = static_cast<std::int16_t>(in_block + added);
    chunk.count += added;
    count_ += added;
    begin += std::popcount(mask);
  }
}

bool RowBits::ContainsAll(RowIndex begin, RowIndex end) const noexcept {
  auto it = chunks_.end();
  while (begin < end) {
    if (it == chunks_.end() || it->first != begin / kChunkRows) {
      it = chunks_.find(begin / kChunkRows);
    }
    const std::uint64_t mask = MaskOf(begin, end);
    if (it == chunks_.end() || (it->second->words[WordOf(begin)] & mask) != mask) {
      return false;
    }
    begin += std::popcount(mask);
  }
  return true;
}

void RowBits::CopyFrom(const RowBits& other) {
  RowBits copy;
  copy.chunks_.reserve(other.chunks_.size());
  for (const auto& [number, chunk] : other.chunks_) {
    copy.chunks_.emplace_hint(copy.chunks_.end(), number, std::make_unique<Chunk>(*chunk));
  }
  copy.count_ = other.count_;
  Swap(copy);
}

bool RowBits::Erase(RowIndex row) noexcept {
  const auto it = chunks_.find(row / kChunkRows);
  if (it == chunks_.end() || (it->second->words[WordOf(row)] & BitOf(row)) == 0) {
    return false;
  }
  it->second->words[WordOf(row)] &= ~BitOf(row);
  --it->second->counts[WordOf(row) / kBlockWords];
  --count_;
  if (--it->second->count == 0) {
    chunks_.erase(it);
  }
  return true;
}

void RowBits::Clear() noexcept {
  chunks_.clear();
  count_ = 0;
}

bool RowBits::Contains(RowIndex row) const noexcept {
  if (row < 0) {
    return false;  // a negative row would index before chunk 0
  }
  const auto it = chunks_.find(row / kChunkRows);
  return it != chunks_.end() && (it->second->words[WordOf(row)] & BitOf(row)) != 0;
}

RowIndex RowBits::NextFrom(RowIndex row) const noexcept {
  for (auto it = chunks_.lower_bound(row / kChunkRows); it != chunks_.end(); ++it) {
    const bool first = it->first == row / kChunkRows;
    for (std::size_t w = first ? WordOf(row) : 0; w < kWords; ++w) {
      const bool here = first && w == WordOf(row);
      const std::uint64_t word =
          it->second->words[w] & (here ? ~(BitOf(row) - 1) : ~std::uint64_t{0});
      if (word != 0) {
        return RowOf(it->first, w, word);
      }
    }
  }
  return kNoRow;
}

RowIndex RowBits::LastUpTo(RowIndex row) const noexcept {
  if (row < 0) {
    return kNoRow;
  }
  for (auto it = chunks_.upper_bound(row / kChunkRows); it != chunks_.begin();) {
    --it;
    const bool last = it->first == row / kChunkRows;
    for (std::size_t w = last ? WordOf(row) + 1 : kWords; w-- > 0;) {
      const bool here = last && w == WordOf(row);
      const std::uint64_t word =
          it->second->words[w] & (here ? BitOf(row) | (BitOf(row) - 1) : ~std::uint64_t{0});
      if (word != 0) {
        return RowOf(it->first, w, std::bit_floor(word));
      }
    }
  }
  return kNoRow;
}

RowIndex RowBits::FirstNotIn(const RowBits& other) const noexcept {
  for (const auto& [number, chunk] : chunks_) {
    const auto theirs = other.chunks_.find(number);
    for (std::size_t w = 0; w < kWords; ++w) {
      const std::uint64_t has = theirs == other.chunks_.end() ? 0 : theirs->second->words[w];
      if (const std::uint64_t word = chunk->words[w] & ~has; word != 0) {
        return RowOf(number, w, word);
      }
    }
  }
  return kNoRow;
}

void RowBits::AtRanks(std::span<const std::int64_t> ranks, std::vector<RowIndex>& rows) const {
  std::int64_t passed = 0;  // rows before the chunk
  for (auto it = chunks_.begin(); !ranks.empty(); ++it) {
    if (ranks.front() < passed + it->second->count) {
      AtRanks(it->first, *it->second, passed, ranks, rows);
    }
    passed += it->second->count;
  }
}

// Appends the rows of those `ranks` that are in the chunk, and drops these ranks. `passed`: the
// number of rows before the chunk.
void RowBits::AtRanks(RowIndex number, const Chunk& chunk, std::int64_t passed,
                      std::span<const std::int64_t>& ranks, std::vector<RowIndex>& rows) {
  for (std::size_t w = 0; w < kWords && !ranks.empty(); ++w) {
    const std::int64_t in_block = chunk.counts[w / kBlockWords];
    if (w % kBlockWords == 0 && ranks.front() >= passed + in_block) {
      passed += in_block;
      w += kBlockWords - 1;
      continue;
    }
    std::uint64_t word = chunk.words[w];
    const std::int64_t end = passed + std::popcount(word);
    for (; !ranks.empty() && ranks.front() < end; ranks = ranks.subspan(1)) {
      for (; passed < ranks.front(); ++passed) {
        word &= word - 1;
      }
      rows.push_back(RowOf(number, w, word));
    }
    passed = end;
  }
}

}  // namespace sluice::controller
