// The offer that the samplers of StreamModel choose from, and the deals of `balanced` and `budget`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/stream_model/stream_model.h"

namespace sluice::tests {

// The rows that a fetch could take now: groups, or groups of one row each, in the order in which
// the sampler takes them; for `random` and `priority` in any order.
std::vector<Indexes> Offer(const StreamPartition& partition, const FetchRequest& request);
// Whole groups of existing rows, by lowest index; offered or not.
std::vector<Indexes> WholeGroups(const StreamPartition& partition, const SamplerSpec& sampler);

// A row's weight: the value of this member of its tag if it is a number above 0; else 0.
double WeightOf(const StreamRow& row, const std::string& member);

// Karmarkar and Karp's largest differencing method for `parts` parts of equal size; among equals
// the earlier first. Returns the positions of each part's weights, the heaviest part first.
// REQUIRES: the number of weights is a multiple of `parts`, and not 0.
std::vector<std::vector<std::size_t>> Deal(const std::vector<double>& weights, std::size_t parts);

// What `budget` would give each rank of this offer now.
struct Filled {
  std::vector<Indexes> shares;
  bool full = false;

  [[nodiscard]] std::size_t Fewest() const;
};
Filled Fill(const StreamPartition& partition, const FetchRequest& request,
            const std::vector<Indexes>& offer);

}  // namespace sluice::tests
