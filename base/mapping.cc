#include "base/mapping.h"

#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SLUICE_ASAN 1
#endif
#ifdef SLUICE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace sluice {

Mapping::Mapping(std::size_t bytes) noexcept : bytes_(bytes) {
  void* const place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  data_ = place == MAP_FAILED ? nullptr : static_cast<char*>(place);
}

Mapping::~Mapping() {
  if (data_ != nullptr) {
    munmap(data_, bytes_);
  }
}

#ifdef SLUICE_ASAN
void Poison(const char* begin, std::size_t bytes) noexcept {
  __asan_poison_memory_region(begin, bytes);
}
void Unpoison(const char* begin, std::size_t bytes) noexcept {
  __asan_unpoison_memory_region(begin, bytes);
}
#else
void Poison(const char* /*begin*/, std::size_t /*bytes*/) noexcept {}
void Unpoison(const char* /*begin*/, std::size_t /*bytes*/) noexcept {}
#endif

}  // namespace sluice
