#pragma once

#include <string>

namespace sluice::bench {

// Returns one line about this machine: CPU model, cores, memory, kernel, transparent huge pages.
std::string DescribeMachine();

}  // namespace sluice::bench
