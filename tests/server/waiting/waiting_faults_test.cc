// An allocation fails while a command serves waiters.
#include <catch2/catch.hpp>

#include "tests/server/commands/stage.h"
#include "tests/support/failing_new.h"

namespace sluice::server {
namespace {

// The awaited partition is created, and serving the fetch fails for lack of memory: the write
// itself has run. The fetch is answered immediately, with rows or with OOM; it does not wait for
// the next change.
TEST_CASE("a fetch that waits for a partition is answered although serving it ran out of memory",
          "[waiting]") {
  int failed_while_serving = 0;
  bool failed = true;
  for (std::uint64_t n = 1; failed; ++n) {
    CAPTURE(n);
    Stage stage(1);
    tests::TestClient writer(stage.server);
    CHECK(stage.Ask(0, Fetch("1")).empty());
    const std::string put =
        tests::Encode({"KV.PUT", "p", "k", "FIELD", "x", "int8", "VALUES", "1"});
    {
      const tests::FailNthAllocation fail(n);
      writer.FeedOnly(put);
      failed = fail.Failed();
    }
    if (writer.TakeOutput() != ":1\r\n") {
      continue;  // the write was refused
    }
    failed_while_serving += failed ? 1 : 0;
    const std::string answer = stage.Answer(0);
    CHECK((answer == "0" || answer.starts_with("OOM ")));
  }
  CHECK(failed_while_serving > 0);
}

}  // namespace
}  // namespace sluice::server
