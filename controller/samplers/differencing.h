// Dealing weighted groups to ranks so that the ranks' sums are as equal as can be, in equal
// numbers: the largest differencing method (Karmarkar and Karp, 1982), balanced (Yakir, 1996).
//
// Thread safety: any.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace sluice::controller {

// Which of `weights` (finite, >= 0) each of `ranks` gets, in the order of their numbers.
// REQUIRES: ranks >= 1; weights.size() is a multiple of it. Errors: std::bad_alloc.
std::vector<std::vector<std::size_t>> DealEqually(std::span<const double> weights,
                                                  std::size_t ranks);

}  // namespace sluice::controller
