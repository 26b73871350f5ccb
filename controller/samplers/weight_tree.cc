#include "controller/samplers/weight_tree.h"

namespace sluice::controller {
namespace {

constexpr RowIndex kLeafRows = 64;
constexpr RowIndex kMiddleRows = kLeafRows * 64;
constexpr RowIndex kTopRows = kMiddleRows * 64;

std::size_t ChildOf(RowIndex row, RowIndex rows_of_child) {
  return static_cast<std::size_t>(row / rows_of_child) % 64;
}

// Four partial sums, which the processor adds in parallel.
template <typename Sums>
double Total(const Sums& sums) {
  double parts[4] = {};
  for (std::size_t i = 0; i < sums.size(); i += 4) {
    parts[0] += sums[i];
    parts[1] += sums[i + 1];
    parts[2] += sums[i + 2];
    parts[3] += sums[i + 3];
  }
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

template <typename Child>
Child& Made(std::unique_ptr<Child>& child) {
  if (child == nullptr) {
    child = std::make_unique<Child>();
  }
  return *child;
}

}  // namespace

const WeightTree::Leaf* WeightTree::FindLeaf(RowIndex row) const {
  const auto top = tops_.find(row / kTopRows);
  if (top == tops_.end()) {
    return nullptr;
  }
  const Middle* const middle = top->second->children[ChildOf(row, kMiddleRows)].get();
  return middle == nullptr ? nullptr : middle->children[ChildOf(row, kLeafRows)].get();
}

double WeightTree::Get(RowIndex row) const {
  const Leaf* const leaf = FindLeaf(row);
  return leaf == nullptr ? 0 : leaf->sums[ChildOf(row, 1)];
}

void WeightTree::Set(RowIndex row, double weight) {
  const double old = Get(row);
  if (old == weight) {
    return;
  }
  Top& top = Made(tops_[row / kTopRows]);
  auto& middle = top.children[ChildOf(row, kMiddleRows)];
  auto& leaf = Made(middle).children[ChildOf(row, kLeafRows)];
  Made(leaf).sums[ChildOf(row, 1)] = weight;
  count_ += (weight > 0 ? 1 : 0) - (old > 0 ? 1 : 0);
  double& leaf_sum = middle->sums[ChildOf(row, kLeafRows)];
  leaf_sum = Total(leaf->sums);
  if (leaf_sum == 0) {
    leaf = nullptr;
  }
  double& middle_sum = top.sums[ChildOf(row, kMiddleRows)];
  middle_sum = Total(middle->sums);
  if (middle_sum == 0) {
    middle = nullptr;
  }
  if (Total(top.sums) == 0) {
    tops_.erase(row / kTopRows);
  }
}

double WeightTree::Sum() const {
  double sum = 0;
  for (const auto& [number, top] : tops_) {
    sum += Total(top->sums);
  }
  return sum;
}

// Returns the element of `sums` that contains `place`, and makes `place` relative to that element.
// If rounding puts `place` behind the end, returns the last element above 0.
template <typename Sums>
std::size_t WeightTree::Find(const Sums& sums, double& place) {
  std::size_t last = 0;
  double last_place = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] > 0) {
      if (place < sums[i]) {
        return i;
      }
      last = i;
      last_place = place;
    }
    place -= sums[i];
  }
  place = last_place;
  return last;
}

RowIndex WeightTree::At(double place) const {
  auto it = tops_.begin();
  for (; std::next(it) != tops_.end(); ++it) {
    const double sum = Total(it->second->sums);
    if (place < sum) {
      break;
    }
    place -= sum;
  }
  const Top& top = *it->second;
  const std::size_t middle = Find(top.sums, place);
  const std::size_t leaf = Find(top.children[middle]->sums, place);
  const std::size_t row = Find(top.children[middle]->children[leaf]->sums, place);
  return it->first * kTopRows + static_cast<RowIndex>(middle) * kMiddleRows +
         static_cast<RowIndex>(leaf) * kLeafRows + static_cast<RowIndex>(row);
}

}  // namespace sluice::controller
