// Random: the random number generator of samplers, SplitMix64 (Steele, Lea, Flood, 2014). Its whole
// state is one number, which a checkpoint can store.
//
// Thread safety: one caller at a time.
#pragma once

#include <cstdint>

namespace sluice {

class Random {
 public:
  explicit Random(std::uint64_t state) : state_(state) {}

  [[nodiscard]] std::uint64_t State() const { return state_; }
  std::uint64_t Next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  // Uniform in 0 .. bound-1. REQUIRES: bound > 0.
  std::int64_t Below(std::int64_t bound) {
    const auto range = static_cast<std::uint64_t>(bound);
    const std::uint64_t unfair = -range % range;  // this many low values would be too likely
    std::uint64_t value = Next();
    while (value < unfair) {
      value = Next();
    }
    return static_cast<std::int64_t>(value % range);
  }
  // Uniform in [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace sluice
