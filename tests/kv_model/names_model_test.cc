// Strings, names and expiry against a slow, obvious model: random commands to both, every reply and
// then everything there is compared. SLUICE_SEED: the first seed, SLUICE_SEEDS: how many. Mutations
// tried, each made it fail: SET keeping the old expiry, GT taking no expiry for the soonest, a name
// gone a millisecond early, SCAN beginning behind its cursor, a gap of SETRANGE not zeroed, a
// shrunken string's bytes not given back.
#include <catch2/catch.hpp>

#include "tests/kv_model/names_model_run.h"

namespace sluice::tests {
namespace {

TEST_CASE("names and strings agree with a slow model over random commands", "[model]") {
  const unsigned first = FromEnvironment("SLUICE_SEED", 1);
  const unsigned last = first + FromEnvironment("SLUICE_SEEDS", 25) - 1;
  for (unsigned seed = first; seed <= last; ++seed) {
    CAPTURE(seed);
    NamesRun run(seed);
    for (int step = 0; step < 200; ++step) {
      CAPTURE(step);
      run.Step();
    }
    run.Finish();
  }
}

}  // namespace
}  // namespace sluice::tests
