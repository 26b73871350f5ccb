// The contract of the samplers of the table: a new sampler is tested without a test of its own.
#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

#include "controller/samplers/sampler.h"
#include "tests/controller/fake_rows.h"

namespace sluice::controller {
namespace {

constexpr std::int64_t kSize = 2;

// The samplers that give each rank exactly COUNT rows: all but `budget` (budget_test.cc).
std::vector<SamplerRow> SamplersOfCount() {
  std::vector<SamplerRow> rows(Samplers().begin(), Samplers().end());
  std::erase_if(rows, [](const SamplerRow& row) { return row.tokens; });
  return rows;
}

// Made as for a fetch, with all options that the sampler takes.
SamplerChoice ChoiceOf(const SamplerRow& row) {
  SamplerChoice choice;
  choice.row = &row;
  choice.size = row.size ? kSize : 1;
  choice.ranks = row.ranks ? 2 : 1;
  choice.weight = row.weight ? "w" : "";
  return choice;
}

// Rows 0..19 exist, each with a weight; 2 and 3, and 13 are not ready.
void Fill(FakeRows& rows, Sampler& sampler) {
  for (RowIndex row = 0; row < 20; ++row) {
    rows.Write(row,
               R"({"u":")" + std::to_string(row / 4) + R"(","w":)" + std::to_string(row + 1) + "}",
               sampler);
    if (row != 2 && row != 3 && row != 13) {
      rows.MakeReady(row, sampler);
    }
  }
}

// Returns the picked rows; checks that they are ready, distinct, and `count` per rank.
std::vector<RowIndex> PickChecked(const FakeRows& rows, const SamplerChoice& choice,
                                  Sampler& sampler, std::int64_t count) {
  Random random(7);
  Picked picked;
  sampler.Pick(count, random, picked);
  REQUIRE(picked.shares.size() == static_cast<std::size_t>(choice.ranks));
  std::vector<RowIndex> all;
  for (const auto& share : picked.shares) {
    CHECK(share.size() == static_cast<std::size_t>(count));
    all.insert(all.end(), share.begin(), share.end());
  }
  CHECK(std::set<RowIndex>(all.begin(), all.end()).size() == all.size());
  CHECK(
      std::all_of(all.begin(), all.end(), [&](RowIndex row) { return rows.ready.Contains(row); }));
  if (choice.row->returns_weights) {
    CHECK(picked.weights.size() == static_cast<std::size_t>(count));
  } else {
    CHECK(picked.weights.empty());
  }
  return all;
}

TEST_CASE("a sampler picks the requested number of ready rows, each once", "[sampler]") {
  for (const SamplerRow& row : SamplersOfCount()) {
    DYNAMIC_SECTION(row.name) {
      const SamplerChoice choice = ChoiceOf(row);
      FakeRows rows;
      const auto sampler = row.make(choice, rows.Choose());
      CHECK(sampler->Available() == 0);
      Fill(rows, *sampler);
      const std::int64_t available = sampler->Available();
      CHECK(available > 0);
      CHECK(available % choice.size == 0);
      CHECK(available * choice.ranks <= rows.ready.Count());
      PickChecked(rows, choice, *sampler, choice.size);
      PickChecked(rows, choice, *sampler, available);
      CHECK(sampler->Available() == available);  // a pick consumes nothing
    }
  }
}

TEST_CASE("consumed rows are not picked again, down to the last row", "[sampler]") {
  for (const SamplerRow& row : SamplersOfCount()) {
    DYNAMIC_SECTION(row.name) {
      const SamplerChoice choice = ChoiceOf(row);
      FakeRows rows;
      const auto sampler = row.make(choice, rows.Choose());
      Fill(rows, *sampler);
      std::set<RowIndex> taken;
      while (sampler->Available() > 0) {
        const std::int64_t available = sampler->Available();
        for (const RowIndex picked : PickChecked(rows, choice, *sampler, choice.size)) {
          CHECK(taken.insert(picked).second);
          rows.Take(picked, *sampler);
        }
        REQUIRE(sampler->Available() == available - choice.size);
      }
      CHECK(rows.ready.Count() < choice.size * choice.ranks + 2);  // 12: neighbor not ready
      rows.MakeReady(*taken.begin(), *sampler);
      CHECK(sampler->Available() == (choice.size * choice.ranks == 1 ? 1 : 0));
    }
  }
}

TEST_CASE("removed rows are not offered, and a sampler made later offers the same rows",
          "[sampler]") {
  for (const SamplerRow& row : SamplersOfCount()) {
    DYNAMIC_SECTION(row.name) {
      const SamplerChoice choice = ChoiceOf(row);
      FakeRows rows;
      const auto sampler = row.make(choice, rows.Choose());
      Fill(rows, *sampler);
      for (const RowIndex removed : {0, 7, 19}) {
        rows.Remove(removed, *sampler);
      }
      const auto fresh = row.make(choice, rows.Choose());
      rows.Tell(*fresh);
      REQUIRE(fresh->Available() == sampler->Available());
      CHECK(PickChecked(rows, choice, *fresh, fresh->Available()) ==
            PickChecked(rows, choice, *sampler, sampler->Available()));
    }
  }
}

TEST_CASE("a sampler's possible rows include its available rows", "[sampler]") {
  for (const SamplerRow& row : SamplersOfCount()) {
    DYNAMIC_SECTION(row.name) {
      const SamplerChoice choice = ChoiceOf(row);
      FakeRows rows;
      const auto sampler = row.make(choice, rows.Choose());
      Fill(rows, *sampler);
      const std::int64_t possible =
          sampler->Possible(rows.existing.Count() / choice.ranks, rows.existing.Count() + 1);
      CHECK(possible >= sampler->Available());
      CHECK(possible * choice.ranks <= rows.existing.Count());
    }
  }
}

TEST_CASE("a sampler is found by its name in any case", "[sampler]") {
  for (const SamplerRow& row : Samplers()) {
    std::string name(row.name);
    CHECK(FindSampler(name) == &row);
    name[0] = static_cast<char>(name[0] - 'a' + 'A');
    CHECK(FindSampler(name) == &row);
    CHECK_FALSE(row.summary.empty());
  }
  CHECK(FindSampler("") == nullptr);
  CHECK(FindSampler("nosuch") == nullptr);
}

TEST_CASE("random and priority pick rows with the right frequency", "[sampler]") {
  const std::string_view name = GENERATE("random", "priority");
  SamplerChoice choice;
  choice.row = FindSampler(name);
  choice.weight = name == "priority" ? "w" : "";
  FakeRows rows;
  const auto sampler = choice.row->make(choice, rows.Choose());
  for (RowIndex row = 0; row < 4; ++row) {
    rows.Write(row, R"({"w":)" + std::to_string(row) + "}", *sampler);
    rows.MakeReady(row, *sampler);
  }
  constexpr int kDraws = 60000;
  std::vector<int> drawn(4);
  Random random(99);
  for (int i = 0; i < kDraws; ++i) {
    Picked picked;
    sampler->Pick(1, random, picked);
    ++drawn.at(static_cast<std::size_t>(picked.shares[0][0]));
  }
  for (std::size_t row = 0; row < 4; ++row) {
    const double share = name == "random" ? 0.25 : static_cast<double>(row) / 6;
    CAPTURE(name, row, drawn[row]);
    CHECK(std::abs(drawn[row] - share * kDraws) <= 0.01 * kDraws * (share > 0 ? 1 : 0));
  }
}

}  // namespace
}  // namespace sluice::controller
