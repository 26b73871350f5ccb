// Strings, names and expiry compared with a slow, obvious model: both get random commands; every
// reply and then all state is compared. SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds.
// Mutations tried, each of which failed the test: SET keeping the old expiry, GT taking no expiry
// for the soonest, a name removed a millisecond early, SCAN beginning after its cursor, a gap of
// SETRANGE not zeroed, the bytes of a shrunken string not freed.
#include <catch2/catch.hpp>

#include "tests/store_model/names_model_run.h"

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
