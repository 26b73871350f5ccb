#include <algorithm>
#include <numeric>

#include <boost/unordered/unordered_flat_map.hpp>

#include "controller/samplers/samplers.h"

namespace sluice::controller {
namespace {

// The first `count` of a Fisher-Yates shuffle of the ranks 0 .. of-1. Only the moved ranks are
// stored.
std::vector<std::int64_t> DrawRanks(std::int64_t count, std::int64_t of, Random& random) {
  std::vector<std::int64_t> drawn;
  drawn.reserve(static_cast<std::size_t>(count));
  boost::unordered_flat_map<std::int64_t, std::int64_t> moved;
  const auto at = [&moved](std::int64_t place) {
    const auto it = moved.find(place);
    return it == moved.end() ? place : it->second;
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t place = i + random.Below(of - i);
    drawn.push_back(at(place));
    moved[place] = at(i);
  }
  return drawn;
}

class RandomSampler final : public Sampler {
 public:
  explicit RandomSampler(const Choosable& from) : ready_(from.ready) {}

  std::int64_t Available() override { return ready_.Count(); }
  void Pick(std::int64_t count, Random& random, Picked& picked) override {
    const std::vector<std::int64_t> drawn = DrawRanks(count, ready_.Count(), random);
    std::vector<std::size_t> order(drawn.size());  // positions, by ascending rank
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&drawn](std::size_t a, std::size_t b) { return drawn[a] < drawn[b]; });
    std::vector<std::int64_t> rising;
    rising.reserve(drawn.size());
    for (const std::size_t i : order) {
      rising.push_back(drawn[i]);
    }
    std::vector<RowIndex> found;
    found.reserve(drawn.size());
    ready_.AtRanks(rising, found);
    std::vector<RowIndex>& rows = picked.shares.emplace_back(drawn.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      rows[order[i]] = found[i];
    }
  }

 private:
  const RowBits& ready_;
};

}  // namespace

std::unique_ptr<Sampler> MakeRandom(const SamplerChoice& /*choice*/, const Choosable& from) {
  return std::make_unique<RandomSampler>(from);
}

}  // namespace sluice::controller
