// Groups by neighbors and by tag compared with a slow model that scans all rows each time.
#include "controller/samplers/groups.h"

#include <algorithm>
#include <map>
#include <random>

#include <catch2/catch.hpp>

#include "tests/controller/fake_rows.h"

namespace sluice::controller {
namespace {

using Rows = std::vector<RowIndex>;

// All full groups, whole or not, by their lowest index.
std::vector<Rows> AllGroups(const FakeRows& rows, const SamplerChoice& choice) {
  std::map<std::string, Rows> lists;
  rows.existing.ForEach([&](RowIndex row) {
    const std::string& tag = rows.tags.at(row);
    if (choice.by.empty()) {
      lists[std::to_string(row / choice.size)].push_back(row);
    } else if (!tag.empty()) {
      lists[tag].push_back(row);
    }
  });
  std::vector<Rows> groups;
  for (const auto& [name, list] : lists) {
    for (auto at = list.begin(); list.end() - at >= choice.size; at += choice.size) {
      groups.emplace_back(at, at + choice.size);
    }
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

Rows WholeRows(const FakeRows& rows, const std::vector<Rows>& groups) {
  Rows whole;
  for (const Rows& group : groups) {
    if (std::all_of(group.begin(), group.end(),
                    [&](RowIndex row) { return rows.ready.Contains(row); })) {
      whole.insert(whole.end(), group.begin(), group.end());
    }
  }
  return whole;
}

void CheckSame(const FakeRows& rows, const SamplerChoice& choice, Groups& groups) {
  const std::vector<Rows> all = AllGroups(rows, choice);
  const Rows whole = WholeRows(rows, all);
  REQUIRE(groups.Count() * choice.size == static_cast<std::int64_t>(whole.size()));
  Rows first;
  groups.First(groups.Count(), first);
  CHECK(first == whole);
  const auto may_come = [&rows](RowIndex row) { return !rows.gone.Contains(row); };
  const std::int64_t possible = std::count_if(
      all.begin(), all.end(),
      [&may_come](const Rows& group) { return std::all_of(group.begin(), group.end(), may_come); });
  CHECK(groups.Possible(rows.existing.Count() + 1) == possible);
  for (const std::int64_t enough : {std::int64_t{1}, possible, possible + 1}) {
    CHECK(std::min(groups.Possible(std::max<std::int64_t>(1, enough)), enough) ==
          std::min(possible, enough));
  }
}

TEST_CASE("groups agree with a slow model under random changes of the rows", "[groups]") {
  const std::string by = GENERATE("", "u");
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(by, seed);
  std::mt19937_64 random(seed);
  SamplerChoice choice;
  choice.size = 1 + static_cast<std::int64_t>(random() % 4);
  choice.by = by;
  FakeRows rows;
  auto groups = MakeGroups(choice, rows.Choose());
  RowIndex next = 0;
  for (int i = 0; i < 1500; ++i) {
    const auto value = random() % 4;  // one of three values, or no value
    const std::string tag = value == 0 ? "" : R"({"u":)" + std::to_string(value) + "}";
    const RowIndex row =
        next == 0 ? 0 : static_cast<RowIndex>(random() % static_cast<std::uint64_t>(next));
    const auto what = random() % 10;
    CAPTURE(i, row, what, tag);
    if (what < 3 || next == 0) {
      rows.Write(next, tag, *groups);
      rows.MakeReady(next++, *groups);
    } else if (!rows.existing.Contains(row)) {
      continue;
    } else if (what < 5) {
      rows.Write(row, tag, *groups);
    } else if (what < 7) {
      rows.MakeReady(row, *groups);
    } else if (what < 8) {
      rows.Take(row, *groups);
    } else if (what < 9) {
      rows.Consume(row, *groups);
    } else {
      rows.Remove(row, *groups);
    }
    if (random() % 4 == 0) {  // some of the accumulated changes
      std::int64_t work = 2;
      groups->Work(work);
    }
    if (random() % 3 == 0) {  // not each time: changes accumulate
      CheckSame(rows, choice, *groups);
    }
    if (i % 500 == 499) {
      groups = MakeGroups(choice, rows.Choose());
      rows.Tell(*groups);
      CheckSame(rows, choice, *groups);
    }
  }
}

TEST_CASE("torn groups are explained", "[groups]") {
  const std::string by = GENERATE("", "u");
  CAPTURE(by);
  SamplerChoice choice;
  choice.size = 2;
  choice.by = by;
  FakeRows rows;
  const auto groups = MakeGroups(choice, rows.Choose());
  for (RowIndex row = 0; row < 7; ++row) {
    rows.Write(row, R"({"u":"v)" + std::to_string(row / 2) + R"("})", *groups);
    rows.MakeReady(row, *groups);
  }
  rows.Consume(2, *groups);
  rows.Take(5, *groups);
  std::vector<std::string> lines;
  groups->Explain({.next_index = 7}, lines);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].find("is torn") != std::string::npos);
  CHECK(lines[1].find("is not whole yet") != std::string::npos);
  CHECK(lines[2].find("1 of its 2 rows are ready") != std::string::npos);
}

}  // namespace
}  // namespace sluice::controller
