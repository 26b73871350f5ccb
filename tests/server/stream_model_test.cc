// The streaming API against a slow, obvious model that shares no code with the server: random
// commands of 20 interleaved clients to both, every answer compared, and what must hold in any case
// checked beside (stream_ledger.h). SLUICE_SEED: the first seed, SLUICE_SEEDS: how many.
#include <cstdio>

#include <catch2/catch.hpp>

#include "tests/server/stream_run.h"

namespace sluice::tests {
namespace {

constexpr int kCommands = 2000;

TEST_CASE("tasks and partitions agree with a slow model over random commands", "[model]") {
  const unsigned first = FromEnvironment("SLUICE_SEED", 1);
  const unsigned last = first + FromEnvironment("SLUICE_SEEDS", 25) - 1;
  std::map<std::string, int> counts;
  for (unsigned seed = first; seed <= last; ++seed) {
    CAPTURE(seed);
    StreamRun run(seed);
    for (int command = 0; command < kCommands; ++command) {
      CAPTURE(command);
      run.Step();
    }
    run.Finish();
    for (const auto& [what, times] : run.Counts()) {
      counts[what] += times;
    }
  }
  if (FromEnvironment("SLUICE_COUNTS", 0) != 0) {
    for (const auto& [what, times] : counts) {
      std::printf("%8d %s\n", times, what.c_str());
    }
  }
}

}  // namespace
}  // namespace sluice::tests
