#include "store/name_table.h"

#include <map>
#include <random>
#include <set>
#include <string>

#include <catch2/catch.hpp>

namespace sluice::store {
namespace {

// Returns the names of one page from `from` on, and the start of the next page.
std::uint64_t Page(const NameTable& table, std::uint64_t from, std::size_t count,
                   std::multiset<std::string>& seen) {
  std::uint64_t next = NameTable::kEnd;
  table.Walk(from, [&](const Name& name) {
    if (count == 0) {
      next = name.place;
      return false;
    }
    --count;
    seen.emplace(name.name.View());
    return true;
  });
  return next;
}

TEST_CASE("the table agrees with a map, however it grows and shrinks", "[name-table]") {
  constexpr int kOperations = 60000;
  NameTable table(7);
  std::map<std::string, Name*> model;
  std::minstd_rand random(1);
  for (int i = 0; i < kOperations; ++i) {
    const std::string text = std::to_string(random() % 20000);
    const auto it = model.find(text);
    if (it == model.end()) {
      model[text] = table.Add(std::make_unique<Name>(Text(text)));
    } else if (random() % 3 == 0) {
      CHECK(table.Remove(*it->second)->name.View() == text);
      model.erase(it);
    }
  }
  REQUIRE(model.size() > 5000);
  CHECK(table.size() == model.size());
  for (int i = 0; i < 20000; ++i) {
    const std::string text = std::to_string(i);
    const auto it = model.find(text);
    if (table.Find(text) != (it == model.end() ? nullptr : it->second)) {
      FAIL(text);
    }
  }
  std::multiset<std::string> seen;
  CHECK(Page(table, 0, SIZE_MAX, seen) == NameTable::kEnd);
  CHECK(seen.size() == model.size());
  while (table.TakeOne() != nullptr) {
  }
  CHECK(table.size() == 0);
}

TEST_CASE("a paged walk returns each name that stays exactly once", "[name-table]") {
  for (unsigned seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    std::minstd_rand random(seed);
    NameTable table(seed);
    for (int i = 0; i < 300; ++i) {
      table.Add(std::make_unique<Name>(Text("stays" + std::to_string(i))));
    }
    std::map<int, Name*> others;
    std::multiset<std::string> seen;
    for (std::uint64_t position = 0; position != NameTable::kEnd;) {
      position = Page(table, position, random() % 20 + 1, seen);
      for (int i = 0; i < 200; ++i) {  // it grows to some thousand names, then shrinks
        const int number = static_cast<int>(random() % 4000);
        const auto it = others.find(number);
        if (it == others.end() && position < NameTable::kEnd / 2) {
          others[number] =
              table.Add(std::make_unique<Name>(Text("other" + std::to_string(number))));
        } else if (it != others.end() && position >= NameTable::kEnd / 2) {
          table.Remove(*it->second);
          others.erase(it);
        }
      }
    }
    for (int i = 0; i < 300; ++i) {
      CHECK(seen.count("stays" + std::to_string(i)) == 1);
    }
  }
}

TEST_CASE("every name can be picked", "[name-table]") {
  NameTable table(1);
  CHECK(table.Pick(5) == nullptr);
  for (int i = 0; i < 1000; ++i) {
    table.Add(std::make_unique<Name>(Text(std::to_string(i))));
  }
  std::mt19937_64 random(1);
  std::set<const Name*> picked;
  for (int i = 0; i < 50000; ++i) {
    picked.insert(table.Pick(random()));
  }
  CHECK(picked.size() == 1000);
}

}  // namespace
}  // namespace sluice::store
