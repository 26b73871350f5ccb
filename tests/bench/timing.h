#pragma once

#include <chrono>
#include <vector>

namespace sluice::bench {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// CPU time of the calling thread.
double OwnCpuSeconds();

// Duration of the measurements. `rounds` is odd, so that a median is a measurement.
struct Plan {
  double slice_seconds = 0;
  int rounds = 0;
};

struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

// REQUIRES: at least one value.
Spread SpreadOf(std::vector<double> values);

// Median of the quotients a[i] / b[i]: the values of one round were measured shortly after another.
// REQUIRES: both have the same size, at least one.
Spread RatioOf(const std::vector<double>& a, const std::vector<double>& b);

// From now on SIGINT and SIGTERM end the run in an orderly way, with its children stopped.
void CatchInterrupts();

// Throws std::runtime_error if one of them was received.
void ThrowIfInterrupted();

}  // namespace sluice::bench
