#pragma once

#include <cstddef>

namespace sluice::bench {

// Memory that is resident before it is used: huge pages if the machine has them, each page written
// once before the constructor returns, so that no page fault occurs in a measurement. Contents are
// zero. One caller at a time.
class TouchedMemory {
 public:
  TouchedMemory() = default;
  // Throws std::system_error if the allocation fails.
  explicit TouchedMemory(std::size_t bytes);
  TouchedMemory(TouchedMemory&& other) noexcept { *this = static_cast<TouchedMemory&&>(other); }
  TouchedMemory& operator=(TouchedMemory&& other) noexcept;
  TouchedMemory(const TouchedMemory&) = delete;
  TouchedMemory& operator=(const TouchedMemory&) = delete;
  ~TouchedMemory();

  char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

// Fills with bytes that differ at every 8-byte step, so that a shifted or repeated copy is found.
void FillPattern(char* begin, std::size_t bytes);

}  // namespace sluice::bench
