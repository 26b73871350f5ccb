// Rates: the recent rates per second that INFO reports as instantaneous_*.
//
// Thread safety: Sample(): one caller at a time; the numbers: any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "server/observability/stats.h"

namespace sluice::server {

class Rates {
 public:
  // Call it a few times per second.
  void Sample(const Stats& stats, std::int64_t now_us) {
    const std::int64_t passed_us = now_us - sampled_us_;
    if (passed_us < kPeriodUs) {
      return;
    }
    const Counts now = {.commands = stats.Total(&ThreadStats::commands),
                        .input_bytes = stats.Total(&ThreadStats::input_bytes),
                        .output_bytes = stats.Total(&ThreadStats::output_bytes)};
    commands = PerSecond(now.commands - counts_.commands, passed_us);
    input_bytes = PerSecond(now.input_bytes - counts_.input_bytes, passed_us);
    output_bytes = PerSecond(now.output_bytes - counts_.output_bytes, passed_us);
    counts_ = now;
    sampled_us_ = now_us;
  }

  std::atomic<std::int64_t> commands{0};
  std::atomic<std::int64_t> input_bytes{0};
  std::atomic<std::int64_t> output_bytes{0};

 private:
  static constexpr std::int64_t kPeriodUs = 500000;
  struct Counts {
    std::int64_t commands = 0;
    std::int64_t input_bytes = 0;
    std::int64_t output_bytes = 0;
  };
  static std::int64_t PerSecond(std::int64_t count, std::int64_t passed_us) {
    return static_cast<std::int64_t>(static_cast<double>(count) * 1e6 /
                                     static_cast<double>(passed_us));
  }

  Counts counts_;
  std::int64_t sampled_us_ = 0;
};

}  // namespace sluice::server
