#include "tests/bench/touched_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include <sys/mman.h>

#include "tests/bench/net.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

TouchedMemory::TouchedMemory(std::size_t bytes)
    : mapping_bytes_(bytes + 2 * kHugePage), size_(bytes) {
  void* mapping = ::mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    ThrowErrno("mmap");
  }
  mapping_ = mapping;
  const std::size_t misfit = reinterpret_cast<std::uintptr_t>(mapping) % kHugePage;
  data_ = static_cast<char*>(mapping) + (kHugePage - misfit);
  const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  // Without huge pages the benchmark still runs; all programs are affected equally.
  (void)::madvise(data_, rounded, MADV_HUGEPAGE);
  std::memset(data_, 0, bytes);
}

TouchedMemory& TouchedMemory::operator=(TouchedMemory&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

TouchedMemory::~TouchedMemory() {
  if (mapping_ != nullptr) {
    ::munmap(mapping_, mapping_bytes_);
  }
}

void FillPattern(char* begin, std::size_t bytes) {
  std::uint64_t state = 0;
  for (std::size_t at = 0; at < bytes; at += sizeof(state)) {
    state += 0x9E3779B97F4A7C15U;
    const std::uint64_t mixed = (state ^ (state >> 29)) * 0xBF58476D1CE4E5B9U;
    std::memcpy(begin + at, &mixed, std::min(sizeof(mixed), bytes - at));
  }
}

}  // namespace sluice::bench
