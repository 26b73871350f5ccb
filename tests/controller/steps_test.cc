#include "controller/steps.h"

#include <catch2/catch.hpp>

namespace sluice::controller {
namespace {

using Rows = std::vector<RowIndex>;

constexpr auto kKept = static_cast<std::int64_t>(Steps::kKept);

void Add(Steps& steps, std::int64_t rank, std::int64_t step, Rows rows = {}) {
  steps.Add({.rank = rank, .step = step},
            {.rows = std::move(rows), .weights = {}, .count = 1, .sampler = {}, .returned = {}});
}

bool Knows(Steps& steps, std::int64_t rank, std::int64_t step) {
  return steps.Find({.rank = rank, .step = step}) != nullptr;
}

TEST_CASE("a rank's last 1,024 steps by number are remembered, and older ones are too old",
          "[steps]") {
  Steps steps;
  for (std::int64_t step = 0; step < kKept; ++step) {
    Add(steps, 0, 2 * step);
  }
  CHECK(Knows(steps, 0, 0));
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 0}));
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 1}));  // it never was, and is not older
  Add(steps, 0, 2 * kKept);
  Add(steps, 0, 2 * kKept + 2);
  CHECK_FALSE(Knows(steps, 0, 0));
  CHECK_FALSE(Knows(steps, 0, 2));
  CHECK(Knows(steps, 0, 4));
  for (const std::int64_t old : {0, 1, 2}) {
    CHECK(steps.IsForgotten({.rank = 0, .step = old}));
  }
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 3}));
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 4}));
  CHECK_FALSE(steps.IsForgotten({.rank = 1, .step = 0}));  // each rank has its own memory
}

TEST_CASE("what is forgotten on purpose was never there", "[steps]") {
  Steps steps;
  Add(steps, 0, 5, {1, 2});
  Add(steps, 0, 6, {3});
  Add(steps, 1, 5, {2, 4});
  RowBits rows;
  rows.Insert(2);
  steps.ForgetRows(rows);
  CHECK_FALSE(Knows(steps, 0, 5));
  CHECK(Knows(steps, 0, 6));
  CHECK_FALSE(Knows(steps, 1, 5));
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 5}));
  steps.Forget({.rank = 0, .step = 6});
  steps.Forget({.rank = 9, .step = 6});
  CHECK_FALSE(Knows(steps, 0, 6));
  CHECK(steps.Bytes() == 0);
}

TEST_CASE("all of the memory is counted", "[steps]") {
  Steps steps;
  for (std::int64_t step = 0; step < kKept + 10; ++step) {
    Add(steps, 0, step, {1, 2, 3});
  }
  CHECK(steps.Bytes() > kKept * static_cast<std::int64_t>(3 * sizeof(RowIndex)));
  const std::int64_t full = steps.Bytes();
  Add(steps, 0, kKept + 10, {1, 2, 3});
  CHECK(steps.Bytes() == full);
  steps.Clear();
  CHECK(steps.Bytes() == 0);
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 0}));
}

TEST_CASE("a step learns what came back of its last lease, and of no other", "[steps]") {
  Steps steps;
  const RankStep at = {.rank = 0, .step = 1};
  Add(steps, 0, 1, {1, 2});
  steps.Find(at)->lease = 7;
  steps.LeaseEnded(at, 6, {1});
  CHECK(steps.Find(at)->returned.empty());
  steps.LeaseEnded(at, 7, {2});
  CHECK(steps.Find(at)->returned == Rows{2});
  steps.LeaseEnded({.rank = 3, .step = 1}, 7, {2});
}

}  // namespace
}  // namespace sluice::controller
