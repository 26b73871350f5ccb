#include "tests/support/failing_new.h"

#include <cstdlib>
#include <new>

namespace sluice::tests {
namespace {

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): operator new has no object
thread_local std::uint64_t allocations = 0;
thread_local std::uint64_t fail_at = 0;  // 0: never
thread_local bool failed = false;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

}  // namespace

FailNthAllocation::FailNthAllocation(std::uint64_t n) {
  failed = false;
  fail_at = allocations + n;
}

FailNthAllocation::~FailNthAllocation() {
  fail_at = 0;
}

bool FailNthAllocation::Failed() const {
  return failed;
}

std::uint64_t AllocationCount() {
  return allocations;
}

// NOLINTBEGIN: the library's own shapes
void* Take(std::size_t bytes, std::size_t alignment) {
  if (++allocations == fail_at) {
    failed = true;
    throw std::bad_alloc();
  }
  void* const memory =
      alignment == 0
          ? std::malloc(bytes)
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace sluice::tests

void* operator new(std::size_t bytes) {
  return sluice::tests::Take(bytes, 0);
}
void* operator new[](std::size_t bytes) {
  return sluice::tests::Take(bytes, 0);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return sluice::tests::Take(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return sluice::tests::Take(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t /*bytes*/,
                       std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
// NOLINTEND
