#include "controller/steps.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <utility>

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
  CHECK_FALSE(steps.IsForgotten({.rank = 0, .step = 1}));  // never asked for, and not older
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
  CHECK_FALSE(steps.IsForgotten({.rank = 1, .step = 0}));  // each rank has a memory of its own
}

TEST_CASE("a step that was forgotten on purpose is as if never asked for", "[steps]") {
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

// Rows of each step, and its deal.
using Model = std::map<std::pair<std::int64_t, std::int64_t>, std::pair<Rows, std::int64_t>>;

void ForgetRow(Model& model, RowIndex row) {
  std::vector<std::pair<std::int64_t, std::int64_t>> hit;  // step and deal
  for (const auto& [at, known] : model) {
    if (std::count(known.first.begin(), known.first.end(), row) > 0) {
      hit.emplace_back(at.second, known.second);
    }
  }
  std::erase_if(model, [&](const auto& entry) {
    const std::pair key(entry.first.second, entry.second.second);
    return std::count(hit.begin(), hit.end(), key) > 0;
  });
}

TEST_CASE("rows are forgotten with their deals, as in a model that scans every step", "[steps]") {
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Steps steps;
  Model model;
  for (std::int64_t deal = 1; deal < 300; ++deal) {
    const auto number = static_cast<std::int64_t>(random() % 40);
    const auto ranks = static_cast<std::int64_t>(1 + random() % 4);
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      if (model.contains({rank, number})) {
        continue;
      }
      Rows rows;
      for (std::size_t i = 0; i < 1 + random() % 5; ++i) {
        rows.push_back(static_cast<RowIndex>(random() % 500));  // KEEP: other steps have it, too
      }
      steps.Add({.rank = rank, .step = number},
                {.rows = rows, .weights = {}, .sampler = {}, .deal = deal, .returned = {}});
      model[{rank, number}] = {rows, deal};
    }
    if (random() % 3 == 0) {
      RowBits forgotten;
      for (std::size_t i = 0; i < random() % 4; ++i) {
        const auto row = static_cast<RowIndex>(random() % 500);
        forgotten.Insert(row);
        ForgetRow(model, row);
      }
      steps.ForgetRows(forgotten);
    } else if (random() % 5 == 0 && !model.empty()) {
      const auto [rank, step] = model.begin()->first;
      steps.Forget({.rank = rank, .step = step});
      model.erase(model.begin());
    }
    for (std::int64_t rank = 0; rank < 4; ++rank) {
      for (std::int64_t step = 0; step < 40; ++step) {
        CAPTURE(deal, rank, step);
        REQUIRE(Knows(steps, rank, step) == model.contains({rank, step}));
      }
    }
  }
  while (!model.empty()) {
    const auto [rank, step] = model.begin()->first;
    steps.Forget({.rank = rank, .step = step});
    model.erase(model.begin());
  }
  CHECK(steps.Bytes() == 0);
}

TEST_CASE("forgetting one row does not scan the other steps", "[steps]") {
  Steps steps;
  constexpr std::int64_t kRanks = 32;
  for (std::int64_t step = 0; step < kKept; ++step) {
    for (std::int64_t rank = 0; rank < kRanks; ++rank) {
      steps.Add({.rank = rank, .step = step}, {.rows = {step * kRanks + rank},
                                               .weights = {},
                                               .sampler = {},
                                               .deal = step + 1,
                                               .returned = {}});
    }
  }
  RowBits row;
  row.Insert(5 * kRanks);
  const auto begin = std::chrono::steady_clock::now();
  steps.ForgetRows(row);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(20));
  CHECK_FALSE(Knows(steps, 31, 5));
  CHECK(Knows(steps, 31, 6));
}

TEST_CASE("all memory of steps is counted", "[steps]") {
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

TEST_CASE("a step records the rows returned by its last lease, and not by another", "[steps]") {
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

constexpr auto kHeld = static_cast<std::int64_t>(Steps::kHeld);

void AddHolding(Steps& steps, const RankStep& at, Rows rows) {
  steps.Add(at, {.rows = std::move(rows),
                 .weights = {},
                 .count = 1,
                 .sampler = {},
                 .deal = at.step + 1,
                 .holds = true,
                 .returned = {}});
}

void Ask(Steps& steps, std::int64_t rank, std::int64_t step,
         std::int64_t rows_max = std::numeric_limits<std::int64_t>::max()) {
  steps.Ask({.rank = rank, .step = step}, rows_max);
}

Rows LetGo(Steps& steps) {
  bool incomplete = false;
  Rows rows = steps.TakeLetGo(incomplete);
  CHECK_FALSE(incomplete);
  return rows;
}

TEST_CASE("one call ends few holds when the part of a rank has become small", "[steps]") {
  Steps steps;
  constexpr std::int64_t kRows = 1000;
  for (std::int64_t step = 0; step < kHeld; ++step) {
    Rows rows;
    for (std::int64_t row = 0; row < kRows; ++row) {
      rows.push_back(step * kRows + row);
    }
    AddHolding(steps, {.rank = 0, .step = step}, rows);
    Ask(steps, 0, step);
  }
  CHECK(LetGo(steps).empty());
  std::size_t let_go = 0;
  for (int call = 0; call < kHeld; ++call) {
    Ask(steps, 0, kHeld - 1, kRows);
    const std::size_t now = LetGo(steps).size();
    CHECK(now <= 3 * kRows);
    let_go += now;
  }
  CHECK(let_go == (kHeld - 1) * kRows);  // in the end only the step asked for holds
}

TEST_CASE("the last 64 steps that a rank asked for hold their rows", "[steps]") {
  Steps steps;
  for (std::int64_t step = 0; step < kHeld; ++step) {
    AddHolding(steps, {.rank = 0, .step = step}, {step, 1000 + step});
    Ask(steps, 0, step);
  }
  Ask(steps, 0, 0);  // now it is the last one
  AddHolding(steps, {.rank = 1, .step = 0}, {500, 1002});
  Ask(steps, 1, 0);
  CHECK(LetGo(steps).empty());
  for (const std::int64_t step : {kHeld, kHeld + 1}) {
    AddHolding(steps, {.rank = 0, .step = step}, {step});
    Ask(steps, 0, step);
  }
  CHECK(LetGo(steps) == Rows{1, 1001, 2});  // row 1002 is held by rank 1, too
  CHECK(steps.Holds(0));
  CHECK_FALSE(steps.Holds(1));
  CHECK(steps.Holds(1002));
  CHECK(Knows(steps, 0, 1));
  Ask(steps, 0, 1);  // given again, but not held again
  CHECK_FALSE(steps.Holds(1));
  CHECK(LetGo(steps).empty());
}

TEST_CASE("a share that its rank has not asked for holds its rows until it is forgotten",
          "[steps]") {
  Steps steps;
  for (std::int64_t step = 0; step < kKept; ++step) {
    AddHolding(steps, {.rank = 1, .step = step}, {step});
  }
  Ask(steps, 1, 9, 0);
  CHECK(LetGo(steps) == Rows{9});
  CHECK(steps.Holds(0));
  AddHolding(steps, {.rank = 1, .step = kKept}, {kKept});
  CHECK(LetGo(steps) == Rows{0});
  RowBits rows;
  rows.Insert(7);
  steps.ForgetRows(rows);
  CHECK(LetGo(steps) == Rows{7});
}

TEST_CASE("acknowledged rows are not held, and each rank has its part of a limit", "[steps]") {
  Steps steps;
  for (std::int64_t step = 0; step < 8; ++step) {
    AddHolding(steps, {.rank = step % 2, .step = step}, {2 * step, 2 * step + 1});
    Ask(steps, step % 2, step);
  }
  steps.Release(0);
  CHECK_FALSE(steps.Holds(0));
  CHECK(steps.Holds(1));
  Ask(steps, 1, 1, 8);
  CHECK(LetGo(steps) == Rows{6, 7, 10, 11});  // of steps 3 and 5: steps 7 and 1 have 4 rows
  Ask(steps, 0, 6, 8);
  CHECK(LetGo(steps) == Rows{1, 4, 5});
  steps.EndHold({.rank = 1, .step = 7});
  CHECK(LetGo(steps) == Rows{14, 15});
  Steps moved = std::move(steps);
  Ask(moved, 1, 1, 3);
  CHECK(LetGo(moved) == Rows{2, 3});
  for (std::int64_t step = 0; step < 8; ++step) {
    moved.Forget({.rank = step % 2, .step = step});
  }
  CHECK(moved.Bytes() == 0);
}

TEST_CASE("a step that is taken again without a lease holds the rows that its lease returned",
          "[steps]") {
  Steps steps;
  const RankStep at = {.rank = 0, .step = 1};
  Add(steps, 0, 1, {1, 2});
  Ask(steps, 0, 1);
  CHECK_FALSE(steps.Holds(2));
  steps.Find(at)->lease = 7;
  steps.LeaseEnded(at, 7, {2});
  steps.HoldReturned(at);
  CHECK_FALSE(steps.Holds(1));
  CHECK(steps.Holds(2));
  steps.Forget(at);
  CHECK(LetGo(steps) == Rows{2});
}

TEST_CASE("a call for a step among 32 ranks with 1,024 steps each is quick", "[steps]") {
  Steps steps;
  constexpr std::int64_t kRanks = 32;
  constexpr std::int64_t kRows = 30;
  auto shortest = std::chrono::steady_clock::duration::max();  // the processor may be taken away
  for (std::int64_t step = 0; step < kKept + 10; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::int64_t rank = 0; rank < kRanks; ++rank) {
      Rows rows(kRows);
      std::iota(rows.begin(), rows.end(), (step * kRanks + rank) * kRows);
      AddHolding(steps, {.rank = rank, .step = step}, std::move(rows));
    }
    Ask(steps, 0, step);
    LetGo(steps);
    if (step > kKept) {
      shortest = std::min(shortest, std::chrono::steady_clock::now() - begin);
    }
  }
  CHECK(shortest < std::chrono::milliseconds(5));
}

}  // namespace
}  // namespace sluice::controller
