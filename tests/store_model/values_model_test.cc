// Stored values compared with a slow, obvious model while compaction moves them: random writes go
// to both, some steps of compaction run after each, and then all values are compared. This is no
// model of the KV commands: their replies, errors, tags and options are the subject of
// tests/e2e/test_kv_model.py, whose server compacts once a second and thus hardly ever.
// SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds. Mutations tried, each of which failed the
// test: ClearRows skipping the last row, DICT replaced by i.
#include <catch2/catch.hpp>

#include "tests/store_model/values_model_run.h"

namespace sluice::tests {
namespace {

TEST_CASE("stored values agree with a slow model over random writes and compaction", "[model]") {
  const unsigned first = FromEnvironment("SLUICE_SEED", 1);
  const unsigned last = first + FromEnvironment("SLUICE_SEEDS", 6) - 1;
  std::int64_t moved = 0;  // by compaction
  for (unsigned seed = first; seed <= last; ++seed) {
    CAPTURE(seed);
    ValuesModelRun run(seed);
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
