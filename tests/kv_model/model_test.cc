// The server against a slow, obvious model that shares no code with it: random commands to both,
// everything compared after each. SLUICE_SEED: the first seed, SLUICE_SEEDS: how many. Mutations
// tried, each made it fail: ClearRows leaving out the last row, two tags swapped, DICT taken for i.
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
