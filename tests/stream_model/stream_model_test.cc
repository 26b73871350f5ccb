// The streaming API compared with a slow, obvious model that shares no code with the server: random
// commands of 20 interleaved clients go to both, every reply is compared, and stream_ledger.h
// checks invariants. SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds in each part;
// SLUICE_COUNTS=1 prints event counts. Mutations tried, each of which failed the test: a lease that
// expires a moment late, survives its bound client, or keeps an acknowledged row; ACK under another
// lease's id counted; waiters served in the wrong order; the short last batch not given; RELEASE
// that forgets no step; `balanced` dealing heavy to heavy; a taken row leaving its group whole;
// AUTOEVICT after the first task; the last slot not given to a writer; ACK that does not end the
// hold of a step; a step taken again without LEASE that does not hold; steps that hold all of
// MAXROWS.
#include <cstdio>

#include <catch2/catch.hpp>

#include "tests/stream_model/stream_run.h"

namespace sluice::tests {
namespace {

constexpr int kCommands = 2000;

TEMPLATE_TEST_CASE_SIG("tasks and partitions agree with a slow model over random commands, part",
                       "[model]", ((unsigned part), part), 0, 1, 2, 3, 4) {
  const unsigned seeds = FromEnvironment("SLUICE_SEEDS", 5);
  const unsigned first = FromEnvironment("SLUICE_SEED", 1) + part * seeds;
  std::map<std::string, int> counts;
  for (unsigned seed = first; seed < first + seeds; ++seed) {
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
