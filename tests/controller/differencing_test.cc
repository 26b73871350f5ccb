#include "controller/samplers/differencing.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include <catch2/catch.hpp>

namespace sluice::controller {
namespace {

using Weights = std::vector<double>;

// The heaviest rank's sum minus the lightest rank's.
double Spread(const std::vector<double>& sums) {
  const auto [least, most] = std::minmax_element(sums.begin(), sums.end());
  return *most - *least;
}

std::vector<double> Dealt(const Weights& weights, std::size_t ranks) {
  std::vector<double> sums;
  std::vector<bool> seen(weights.size());
  const auto shares = DealEqually(weights, ranks);
  REQUIRE(shares.size() == ranks);
  for (const auto& share : shares) {
    CHECK(share.size() == weights.size() / ranks);
    CHECK(std::is_sorted(share.begin(), share.end()));
    double sum = 0;
    for (const std::size_t item : share) {
      CHECK_FALSE(seen.at(item));
      seen[item] = true;
      sum += weights[item];
    }
    sums.push_back(sum);
  }
  return sums;
}

// The smallest spread over all deals in equal numbers.
double Best(const Weights& weights, std::size_t ranks, std::size_t next, std::vector<double>& sums,
            std::vector<std::size_t>& counts) {
  if (next == weights.size()) {
    return Spread(sums);
  }
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    if (counts[rank] < weights.size() / ranks) {
      sums[rank] += weights[next];
      ++counts[rank];
      best = std::min(best, Best(weights, ranks, next + 1, sums, counts));
      sums[rank] -= weights[next];
      --counts[rank];
    }
  }
  return best;
}

TEST_CASE("groups are dealt in equal numbers, and known cases are dealt optimally",
          "[differencing]") {
  CHECK(DealEqually(Weights(), 3) == std::vector<std::vector<std::size_t>>(3));
  CHECK(Spread(Dealt({8, 7, 6, 5}, 2)) == 0);
  CHECK(Spread(Dealt({1, 2, 3, 4, 5, 6}, 2)) == 1);
  CHECK(Spread(Dealt({1, 2, 3, 4, 5, 6}, 3)) == 0);
  CHECK(Spread(Dealt({9, 0, 0, 0}, 4)) == 9);
  CHECK(Spread(Dealt({0, 0, 0, 0}, 2)) == 0);
  CHECK(Spread(Dealt({5, 5, 5}, 1)) == 0);
  CHECK(Dealt({1, 1e300, 1, 1e300}, 2) == std::vector<double>{1e300, 1e300});
}

TEST_CASE("a deal is never worse than dealing round by weight, and close to the best",
          "[differencing]") {
  const auto seed = GENERATE(range(1U, 30U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::size_t ranks = 2 + random() % 2;
  const std::size_t count = ranks * (2 + random() % (ranks == 2 ? 4 : 2));
  Weights weights(count);
  for (double& weight : weights) {
    weight = static_cast<double>(random() % 1000);
  }
  Weights falling = weights;
  std::sort(falling.begin(), falling.end(), std::greater<>());
  std::vector<double> round(ranks);
  for (std::size_t i = 0; i < count; ++i) {
    round[i % ranks] += falling[i];
  }
  std::vector<double> sums(ranks);
  std::vector<std::size_t> counts(ranks);
  const double best = Best(weights, ranks, 0, sums, counts);
  const double spread = Spread(Dealt(weights, ranks));
  CAPTURE(weights, ranks, best);
  CHECK(spread <= Spread(round));
  CHECK(spread >= best);
  CHECK(spread - best <= falling.front() / 2);
}

TEST_CASE("many groups are dealt with a small spread", "[differencing]") {
  std::mt19937_64 random(5);
  Weights weights(1024);
  for (double& weight : weights) {
    weight = static_cast<double>(1 + random() % 10000);
  }
  CHECK(Spread(Dealt(weights, 8)) < 100);
  CHECK(DealEqually(weights, 8) == DealEqually(weights, 8));
}

}  // namespace
}  // namespace sluice::controller
