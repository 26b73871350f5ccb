#include "store/partition/removal_log.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace sluice::store {
namespace {

std::vector<std::string> KeysAfter(const RemovalLog& log, Revision since) {
  std::vector<std::string> keys;
  const RemovalLog::Pinned removals = log.After(since);
  for (std::size_t i = 0; i < removals.size(); ++i) {
    keys.emplace_back(removals[i].key.View());
  }
  return keys;
}

void Add(RemovalLog& log, const std::string& key, Revision revision) {
  log.Reserve(1);
  log.Add(Text(key), revision);
}

TEST_CASE("the log returns removals after a revision, oldest first", "[removals]") {
  Budget budget;
  RemovalLog log(budget);
  CHECK(KeysAfter(log, 0).empty());
  Add(log, "a", 3);
  Add(log, "b", 3);
  Add(log, "c", 7);
  CHECK(KeysAfter(log, 0) == std::vector<std::string>{"a", "b", "c"});
  CHECK(KeysAfter(log, 2).size() == 3);
  CHECK(KeysAfter(log, 3) == std::vector<std::string>{"c"});
  CHECK(KeysAfter(log, 6) == std::vector<std::string>{"c"});
  CHECK(KeysAfter(log, 7).empty());
  CHECK(log.Forgotten() == 0);
}

TEST_CASE("the log keeps at least kKept removals, a bounded number, and reports what it forgot",
          "[removals]") {
  Budget budget;
  {
    RemovalLog log(budget);
    constexpr Revision kRemovals = 3 * RemovalLog::kKept;
    std::int64_t full = 0;
    for (Revision i = 1; i <= kRemovals; ++i) {
      Add(log, std::to_string(i), i);
      full = i == 2 * RemovalLog::kKept ? budget.Used() : full;
    }
    const auto remembered = kRemovals - log.Forgotten();
    CHECK(remembered >= RemovalLog::kKept);
    CHECK(remembered < RemovalLog::kKept + 2 * RemovalLog::kBlockRemovals);
    const auto keys = KeysAfter(log, log.Forgotten());
    REQUIRE(keys.size() == remembered);
    CHECK(keys.front() == std::to_string(log.Forgotten() + 1));
    CHECK(keys.back() == std::to_string(kRemovals));
    CHECK(budget.Used() < full + 65536);
  }
  CHECK(budget.Used() == 0);
}

TEST_CASE("a reader's pinned removals do not change", "[removals]") {
  Budget budget;
  RemovalLog log(budget);
  for (Revision i = 1; i <= 1000; ++i) {
    Add(log, std::to_string(i), i);
  }
  const RemovalLog::Pinned pinned = log.After(300);
  log.ForgetAll(1001);
  CHECK(log.Forgotten() == 1001);
  CHECK(KeysAfter(log, 0).empty());
  REQUIRE(pinned.size() == 700);
  for (std::size_t i = 0; i < pinned.size(); ++i) {
    CHECK(pinned[i].revision == 301 + i);
    CHECK(pinned[i].key.View() == std::to_string(301 + i));
  }
  Add(log, "next", 1002);
  CHECK(KeysAfter(log, 1001) == std::vector<std::string>{"next"});
}

}  // namespace
}  // namespace sluice::store
