// Mapping: reserved address space; the system backs a page with memory at its first write. Also
// functions that mark memory as unusable or usable for AddressSanitizer.
#pragma once

#include <cstddef>

namespace sluice {

class Mapping {
 public:
  // Readable, writable, zero-filled. data() is null if the system call failed.
  explicit Mapping(std::size_t bytes) noexcept;
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] char* data() const { return data_; }

 private:
  char* data_ = nullptr;
  std::size_t bytes_;
};

// In builds with AddressSanitizer, an access to poisoned memory aborts the process. In other builds
// these functions do nothing.
void Poison(const char* begin, std::size_t bytes) noexcept;
void Unpoison(const char* begin, std::size_t bytes) noexcept;

}  // namespace sluice
