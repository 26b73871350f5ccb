#include "controller/rows/row_map.h"

#include <map>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

namespace sluice::controller {
namespace {

using sluice::RowIndex;
using Model = std::map<RowIndex, std::int64_t>;

void CheckSame(const RowMap<std::int64_t>& map, const Model& model) {
  CHECK(map.Count() == static_cast<std::int64_t>(model.size()));
  std::vector<RowIndex> rows;
  map.ForEach([&rows](RowIndex row) { rows.push_back(row); });
  std::vector<RowIndex> expected;
  for (const auto& [row, value] : model) {
    expected.push_back(row);
    CHECK(map.Find(row) == value);
  }
  CHECK(rows == expected);
}

TEST_CASE("RowMap agrees with a map under random operations", "[row_map]") {
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  constexpr RowIndex kNear[] = {0, 60, 4090, 1 << 20};
  RowMap<std::int64_t> map;
  Model model;
  for (int i = 0; i < 3000; ++i) {
    const RowIndex row = kNear[random() % 4] + static_cast<RowIndex>(random() % 10);
    CAPTURE(i, row);
    if (random() % 5 < (i % 600 < 300 ? 4U : 1U)) {
      const auto value = static_cast<std::int64_t>(1 + random() % 9);
      map.Set(row, value);
      model[row] = value;
    } else {
      map.Erase(row);
      model.erase(row);
    }
    const auto it = model.find(row + 1);
    CHECK(map.Find(row + 1) == (it == model.end() ? 0 : it->second));
    if (i % 100 == 0) {
      CheckSame(map, model);
    }
  }
  RowMap<std::int64_t> moved = std::move(map);
  CheckSame(moved, model);
  for (const auto& [row, value] : model) {
    moved.Erase(row);
  }
  CheckSame(moved, {});
  CHECK(moved.Bytes() == 0);
  CHECK(moved.Find(-1) == 0);
  moved.Erase(-1);
}

}  // namespace
}  // namespace sluice::controller
