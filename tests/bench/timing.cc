#include "tests/bench/timing.h"

#include <algorithm>
#include <cassert>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <stdexcept>

namespace sluice::bench {
namespace {

// A signal handler can write only to a global.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
volatile std::sig_atomic_t interrupted = 0;

void NoteInterrupt(int /*signal*/) {
  interrupted = 1;
}

}  // namespace

double OwnCpuSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Spread SpreadOf(std::vector<double> values) {
  assert(!values.empty());
  std::sort(values.begin(), values.end());
  return {.median = values[values.size() / 2], .min = values.front(), .max = values.back()};
}

Spread RatioOf(const std::vector<double>& a, const std::vector<double>& b) {
  assert(a.size() == b.size());
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ratios.push_back(a[i] / b[i]);
  }
  return SpreadOf(std::move(ratios));
}

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler =
      NoteInterrupt;  // no SA_RESTART: a blocking call returns, and its error ends the run
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

void ThrowIfInterrupted() {
  if (interrupted != 0) {
    throw std::runtime_error("interrupted");
  }
}

}  // namespace sluice::bench
