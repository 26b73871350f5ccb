// Descriptor: owns one file descriptor. Move-only.
#pragma once

#include <utility>

#include <unistd.h>

namespace sluice {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}  // negative: none
  Descriptor(Descriptor&& other) noexcept : number_(other.Release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) {
      close(number_);
    }
  }

  [[nodiscard]] int Number() const { return number_; }
  // Transfers ownership: the caller must close the descriptor.
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

}  // namespace sluice
