// The server compared with a slow, obvious model that shares no code with it: both get random
// commands, and all state is compared after each. SLUICE_SEED: first seed; SLUICE_SEEDS: number of
// seeds. Mutations tried, each of which failed the test: ClearRows skipping the last row, two tags
// swapped, DICT replaced by i.
#include <catch2/catch.hpp>

#include "tests/kv_model/model_run.h"

namespace sluice::tests {
namespace {

TEST_CASE("the server agrees with a slow model over random commands", "[model]") {
  const unsigned first = FromEnvironment("SLUICE_SEED", 1);
  const unsigned last = first + FromEnvironment("SLUICE_SEEDS", 6) - 1;
  std::int64_t moved = 0;  // by compaction
  for (unsigned seed = first; seed <= last; ++seed) {
    CAPTURE(seed);
    ModelRun run(seed);
    for (int step = 0; step < 700; ++step) {
      CAPTURE(step);
      run.Step();
    }
    run.Finish();
    moved += run.MovedValues();
  }
  CHECK(moved > 0);
}

}  // namespace
}  // namespace sluice::tests
