// Mapping: address space from the system, which costs memory only where it is written. And how to
// tell AddressSanitizer what of it may be used.
#pragma once

#include <cstddef>

namespace sluice {

class Mapping {
 public:
  // Readable, writable, zero. data() is null where the system has no room.
  explicit Mapping(std::size_t bytes) noexcept;
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] char* data() const { return data_; }

 private:
  char* data_ = nullptr;
  std::size_t bytes_;
};

// Using poisoned memory ends the process, in builds with AddressSanitizer; elsewhere these do
// nothing.
void Poison(const char* begin, std::size_t bytes) noexcept;
void Unpoison(const char* begin, std::size_t bytes) noexcept;

}  // namespace sluice
