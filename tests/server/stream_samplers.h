// What the samplers of StreamModel choose from, and how `balanced` deals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/server/stream_model.h"

namespace sluice::tests {

// What a fetch could take now: groups, or groups of one row each, in the order in which its sampler
// takes them; for `random` and `priority` in any order.
std::vector<Indexes> Offer(const StreamPartition& partition, const FetchRequest& request);
// Whole groups of rows that exist, by lowest index; offered or not.
std::vector<Indexes> WholeGroups(const StreamPartition& partition, const SamplerSpec& sampler);

// A row's weight: the number that this member of its tag is; otherwise, or where it is no number,
// 0.
double WeightOf(const StreamRow& row, const std::string& member);

// Karmarkar and Karp's largest differencing method for `parts` parts of equal size (as verl's
// karmarkar_karp with equal_size). Returns the positions of each part's weights, in rising order.
// REQUIRES: the number of weights is a multiple of `parts`.
std::vector<std::vector<std::size_t>> Deal(const std::vector<double>& weights, std::size_t parts);

}  // namespace sluice::tests
