#include "controller/rows/row_bits.h"

#include <algorithm>
#include <limits>
#include <random>
#include <set>

#include <catch2/catch.hpp>

namespace sluice::controller {
namespace {

using Model = std::set<RowIndex>;

// Positions near the ends of words and chunks are more likely than others.
RowIndex PickRow(std::mt19937_64& random) {
  constexpr RowIndex kEdges[] = {0, 1, 63, 64, 4095, 4096, 8191, 8192, 1 << 20};
  const RowIndex near = kEdges[random() % std::size(kEdges)];
  return std::max<RowIndex>(0, near + static_cast<RowIndex>(random() % 7) - 3);
}

void CheckSame(const RowBits& bits, const Model& model) {
  CHECK(bits.Count() == static_cast<std::int64_t>(model.size()));
  CHECK(bits.Last() == (model.empty() ? kNoRow : *model.rbegin()));
  std::vector<RowIndex> rows;
  bits.ForEach([&rows](RowIndex row) { rows.push_back(row); });
  CHECK(rows == std::vector<RowIndex>(model.begin(), model.end()));
}

void CheckAround(const RowBits& bits, const Model& model, RowIndex row) {
  const auto next = model.lower_bound(row);
  const auto after = model.upper_bound(row);
  CHECK(bits.Contains(row) == (model.count(row) == 1));
  CHECK(bits.NextFrom(row) == (next == model.end() ? kNoRow : *next));
  CHECK(bits.LastUpTo(row) == (after == model.begin() ? kNoRow : *std::prev(after)));
}

TEST_CASE("RowBits agrees with a set under random operations", "[row_bits]") {
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  RowBits bits;
  Model model;
  for (int i = 0; i < 2000; ++i) {
    const RowIndex row = PickRow(random);
    CAPTURE(i, row);
    if (random() % 5 < (i % 400 < 200 ? 4U : 1U)) {
      CHECK(bits.Insert(row) == model.insert(row).second);
    } else {
      CHECK(bits.Erase(row) == (model.erase(row) == 1));
    }
    CheckAround(bits, model, PickRow(random));
    if (i % 100 == 0) {
      CheckSame(bits, model);
    }
  }
  bits.Clear();
  CheckSame(bits, {});
}

TEST_CASE("rows are added and queried by range, and a set is copied", "[row_bits]") {
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  RowBits bits;
  Model model;
  for (int i = 0; i < 200; ++i) {
    const RowIndex begin = PickRow(random);
    const RowIndex end = begin + static_cast<RowIndex>(random() % 200);
    CAPTURE(i, begin, end);
    RowIndex in = 0;
    for (RowIndex row = begin; row < end; ++row) {
      in += static_cast<RowIndex>(model.count(row));
    }
    CHECK(bits.ContainsAll(begin, end) == (in == end - begin));
    if (random() % 2 == 0) {
      bits.InsertAll(begin, end);
      for (RowIndex row = begin; row < end; ++row) {
        model.insert(row);
      }
    } else {
      bits.Erase(begin);
      model.erase(begin);
    }
  }
  CheckSame(bits, model);
  RowBits copy;
  copy.Insert(7);
  copy.CopyFrom(bits);
  bits.Clear();
  CheckSame(copy, model);
}

TEST_CASE("rows are found by rank, and by difference from another set", "[row_bits]") {
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  RowBits bits;
  RowBits other;
  Model model;
  for (int i = 0; i < 300; ++i) {
    const RowIndex row = PickRow(random);
    bits.Insert(row);
    model.insert(row);
  }
  const std::vector<RowIndex> all(model.begin(), model.end());
  std::vector<std::int64_t> ranks;
  std::vector<RowIndex> expected;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (random() % 3 == 0) {
      ranks.push_back(static_cast<std::int64_t>(rank));
      expected.push_back(all[rank]);
    }
  }
  std::vector<RowIndex> found;
  bits.AtRanks(ranks, found);
  CHECK(found == expected);
  for (const RowIndex row : all) {
    CHECK(bits.FirstNotIn(other) == row);
    other.Insert(row);
  }
  CHECK(bits.FirstNotIn(other) == kNoRow);
}

TEST_CASE("a set refuses negative rows, and frees the memory of removed rows", "[row_bits]") {
  RowBits bits;
  const std::int64_t empty = bits.Bytes();
  for (RowIndex row = 0; row < 3 * RowBits::kChunkRows; ++row) {
    bits.Insert(row);
  }
  CHECK_FALSE(bits.Contains(-1));
  CHECK_FALSE(bits.Contains(std::numeric_limits<RowIndex>::min()));
  for (RowIndex row = 0; row < 3 * RowBits::kChunkRows; ++row) {
    bits.Erase(row);
  }
  CHECK(bits.Bytes() == empty);
}

}  // namespace
}  // namespace sluice::controller
