#include "controller/samplers/weight_tree.h"

#include <map>
#include <random>

#include <catch2/catch.hpp>

namespace sluice::controller {
namespace {

TEST_CASE("weights are stored, summed and found as in a plain list", "[weight_tree]") {
  const auto seed = GENERATE(range(1U, 6U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  WeightTree tree;
  std::map<RowIndex, double> model;
  constexpr RowIndex kEdges[] = {0, 60, 4090, 262140, 3 * 262144 - 5, RowIndex{1} << 40};
  for (int i = 0; i < 2000; ++i) {
    const RowIndex row = kEdges[random() % std::size(kEdges)] + static_cast<RowIndex>(random() % 9);
    const auto weight =
        static_cast<double>(random() % 3 * (random() % 100));  // integers: sums are exact
    tree.Set(row, weight);
    model[row] = weight;
    CHECK(tree.Get(row) == weight);
    if (i % 20 != 0) {
      continue;
    }
    double sum = 0;
    std::int64_t count = 0;
    for (const auto& [at, of] : model) {
      CHECK(tree.Get(at) == of);
      if (of > 0) {
        CHECK(tree.At(sum) == at);
        CHECK(tree.At(sum + of / 2) == at);
        ++count;
      }
      sum += of;
    }
    CHECK(tree.Sum() == sum);
    CHECK(tree.Count() == count);
  }
  for (const auto& [row, weight] : model) {
    tree.Set(row, 0);
  }
  CHECK(tree.Sum() == 0);
  CHECK(tree.Count() == 0);
}

TEST_CASE("a position past the end finds the last row with a weight above 0", "[weight_tree]") {
  WeightTree tree;
  tree.Set(3, 0.1);
  tree.Set(70, 0.2);
  tree.Set(5000, 1e-300);
  CHECK(tree.At(0) == 3);
  CHECK(tree.At(0.2) == 70);
  CHECK(tree.At(1e9) == 5000);
  tree.Set(5000, 0);
  CHECK(tree.At(1e9) == 70);
}

TEST_CASE("very large and very small weights do not hide each other permanently", "[weight_tree]") {
  WeightTree tree;
  tree.Set(1, 1e-300);
  tree.Set(2, 1e300);
  CHECK(tree.Sum() == 1e300);
  tree.Set(2, 0);
  CHECK(tree.Sum() == 1e-300);
  CHECK(tree.At(0) == 1);
}

}  // namespace
}  // namespace sluice::controller
