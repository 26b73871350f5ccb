#include "controller/samplers/differencing.h"

#include <algorithm>
#include <numeric>

namespace sluice::controller {
namespace {

// The share of one rank in a deal.
struct Hand {
  double sum = 0;
  std::vector<std::size_t> items;
};

// One hand per rank, the heaviest first.
struct Deal {
  std::vector<Hand> hands;
  std::size_t number = 0;  // for ties: the earlier deal first

  [[nodiscard]] double Spread() const { return hands.front().sum - hands.back().sum; }
};

bool LessUrgent(const Deal& a, const Deal& b) {
  return a.Spread() != b.Spread() ? a.Spread() < b.Spread() : a.number > b.number;
}

// Joins the heaviest hand of one deal with the lightest of the other, and so on.
void Join(Deal& deal, Deal& other) {
  const std::size_t ranks = deal.hands.size();
  for (std::size_t i = 0; i < ranks; ++i) {
    Hand& hand = deal.hands[i];
    const Hand& more = other.hands[ranks - 1 - i];
    hand.sum += more.sum;
    hand.items.insert(hand.items.end(), more.items.begin(), more.items.end());
  }
  std::stable_sort(deal.hands.begin(), deal.hands.end(),
                   [](const Hand& a, const Hand& b) { return a.sum > b.sum; });
}

}  // namespace

std::vector<std::vector<std::size_t>> DealEqually(std::span<const double> weights,
                                                  std::size_t ranks) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
  // First each rank gets one of `ranks` neighbours in weight. Then the two most unequal deals are
  // joined repeatedly.
  std::vector<Deal> deals;
  for (std::size_t at = 0; at < order.size(); at += ranks) {
    Deal& deal = deals.emplace_back();
    deal.number = at;
    for (std::size_t i = at; i < at + ranks; ++i) {
      deal.hands.push_back({.sum = weights[order[i]], .items = {order[i]}});
    }
  }
  std::make_heap(deals.begin(), deals.end(), LessUrgent);
  while (deals.size() > 1) {
    std::pop_heap(deals.begin(), deals.end(), LessUrgent);
    Deal other = std::move(deals.back());
    deals.pop_back();
    std::pop_heap(deals.begin(), deals.end(), LessUrgent);
    Join(deals.back(), other);
    std::push_heap(deals.begin(), deals.end(), LessUrgent);
  }
  std::vector<std::vector<std::size_t>> dealt(ranks);
  for (std::size_t rank = 0; !deals.empty() && rank < ranks; ++rank) {
    dealt[rank] = std::move(deals.front().hands[rank].items);
    std::sort(dealt[rank].begin(), dealt[rank].end());
  }
  return dealt;
}

}  // namespace sluice::controller
