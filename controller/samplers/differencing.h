// Deals weighted groups to ranks, the same number to each, so that the sums of the ranks are as
// equal as possible: by the balanced variant (Yakir, 1996) of the largest differencing method
// (Karmarkar and Karp, 1982).
//
// Thread safety: any.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace sluice::controller {

// Returns, for each rank, the positions in `weights` (finite, >= 0) that it gets, ascending.
// REQUIRES: ranks >= 1; weights.size() is a multiple of ranks. Errors: std::bad_alloc.
std::vector<std::vector<std::size_t>> DealEqually(std::span<const double> weights,
                                                  std::size_t ranks);

}  // namespace sluice::controller
