#include "store/partition/key_index.h"

#include <map>
#include <random>
#include <string>

#include <catch2/catch.hpp>

namespace sluice::store {
namespace {

TEST_CASE("the index agrees with a map, however it grows and shrinks", "[key-index]") {
  constexpr int kOperations = 60000;
  KeyIndex index(7);
  std::map<std::string, RowIndex> model;
  std::minstd_rand random(1);
  for (int i = 0; i < kOperations; ++i) {
    const std::string key = std::to_string(random() % 20000);
    if (random() % 3 == 0) {
      index.Remove(key);
      model.erase(key);
    } else if (model.emplace(key, i).second) {
      index.Add(Text(key), i);
    }
  }
  REQUIRE(model.size() > 5000);
  CHECK(index.size() == model.size());
  for (int i = 0; i < 20000; ++i) {
    const std::string key = std::to_string(i);
    const auto it = model.find(key);
    if (index.Find(key) != (it == model.end() ? kNoRow : it->second)) {
      FAIL(key);
    }
  }
  while (!index.TakeApart()) {
  }
  CHECK(index.size() == 0);
  CHECK(index.Find("1") == kNoRow);
}

}  // namespace
}  // namespace sluice::store
