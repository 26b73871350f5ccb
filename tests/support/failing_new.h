// Replaces operator new in the executable that links failing_new.cc, so that a test can let the
// n-th allocation of its own thread fail, or count them.
#pragma once

#include <cstdint>

namespace sluice::tests {

// During its lifetime, the n-th allocation (from 1) of this thread throws std::bad_alloc, once.
class FailNthAllocation {
 public:
  explicit FailNthAllocation(std::uint64_t n);
  ~FailNthAllocation();
  FailNthAllocation(const FailNthAllocation&) = delete;
  FailNthAllocation& operator=(const FailNthAllocation&) = delete;
  [[nodiscard]] bool Failed() const;  // the allocation failed
};

// Returns the number of allocations of this thread so far.
std::uint64_t AllocationCount();

}  // namespace sluice::tests
