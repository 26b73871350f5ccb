// What the samplers of StreamModel choose from, and how `balanced` deals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/stream_model/stream_model.h"

namespace sluice::tests {

// What a fetch could take now: groups, or groups of one row each, in the order in which its sampler
// takes them; for `random` and `priority` in any order.
std::vector<Indexes> Offer(const StreamPartition& partition, const FetchRequest& request);
// Whole groups of rows that exist, by lowest index; offered or not.
std::vector<Indexes> WholeGroups(const StreamPartition& partition, const SamplerSpec& sampler);

// A row's weight: the number that this member of its tag is, if it is one above 0; else 0.
double WeightOf(const StreamRow& row, const std::string& member);

// Karmarkar and Karp's largest differencing method for `parts` parts of equal size; of equal ones
// the earlier first. Returns the positions of each part's weights, the heaviest part first.
// REQUIRES: the number of weights is a multiple of `parts`, and not 0.
std::vector<std::vector<std::size_t>> Deal(const std::vector<double>& weights, std::size_t parts);

}  // namespace sluice::tests
