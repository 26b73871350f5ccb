// The sampler `budget`: shares up to a sum of weights.
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "controller/samplers/sampler.h"
#include "tests/controller/fake_rows.h"

namespace sluice::controller {
namespace {

using Shares = std::vector<std::vector<RowIndex>>;

class BudgetRows {
 public:
  explicit BudgetRows(SamplerChoice choice) : choice_(Complete(std::move(choice))) {
    sampler_ = choice_.row->make(choice_, rows_.Choose());
  }

  void Add(std::string_view tag) {
    rows_.Write(next_, std::string(tag), *sampler_);
    rows_.MakeReady(next_++, *sampler_);
  }
  void Add(const std::vector<int>& lengths) {
    for (const int length : lengths) {
      Add(R"({"n":)" + std::to_string(length) + "}");
    }
  }
  std::int64_t Available() { return sampler_->Available(); }
  std::int64_t Possible() {
    return sampler_->Possible(rows_.existing.Count(), rows_.existing.Count() + 1);
  }
  Shares Pick() {
    Random random(1);
    Picked picked;
    sampler_->Pick(sampler_->Available(), random, picked);
    return picked.shares;
  }
  void Take(RowIndex row) { rows_.Take(row, *sampler_); }
  void Remove(RowIndex row) { rows_.Remove(row, *sampler_); }
  void Write(RowIndex row, const std::string& tag) { rows_.Write(row, tag, *sampler_); }
  std::string Explain() {
    std::vector<std::string> lines;
    sampler_->Explain({}, lines);
    return lines.at(0);
  }

 private:
  static SamplerChoice Complete(SamplerChoice choice) {
    choice.row = FindSampler("budget");
    choice.weight = "n";
    choice.count = choice.count == 0 ? 100 : choice.count;
    return choice;
  }

  SamplerChoice choice_;
  FakeRows rows_;
  std::unique_ptr<Sampler> sampler_;
  RowIndex next_ = 0;
};

TEST_CASE("a share ends before the row that would exceed TOKENS", "[sampler]") {
  BudgetRows rows({.tokens = 10});
  rows.Add({4, 3, 2});
  CHECK(rows.Available() == 3);  // not full: COUNT is not reached
  rows.Add({5});
  CHECK(rows.Available() == 100);  // full
  CHECK(rows.Pick() == Shares{{0, 1, 2}});
}

TEST_CASE("a share is full when its sum is TOKENS or its rows are COUNT", "[sampler]") {
  BudgetRows exact({.tokens = 10});
  exact.Add({4, 6});
  CHECK(exact.Pick() == Shares{{0, 1}});
  CHECK(exact.Available() == 100);
  BudgetRows counted({.tokens = 10, .count = 2});
  counted.Add({1, 1, 1});
  CHECK(counted.Available() == 2);
  CHECK(counted.Pick() == Shares{{0, 1}});
}

TEST_CASE("a row that is heavier than TOKENS is taken alone", "[sampler]") {
  BudgetRows rows({.tokens = 10});
  rows.Add({25, 1});
  CHECK(rows.Available() == 100);
  CHECK(rows.Pick() == Shares{{0}});
  rows.Take(0);
  rows.Add({30});
  CHECK(rows.Pick() == Shares{{1}});
}

TEST_CASE("rows without a weight cost nothing", "[sampler]") {
  BudgetRows rows({.tokens = 2, .count = 4});
  for (const char* tag : {"{}", R"({"n":"2"})", R"({"n":-3})"}) {
    rows.Add(tag);
  }
  CHECK(rows.Available() == 3);
  rows.Add({2});
  CHECK(rows.Available() == 4);
}

TEST_CASE("shares of ranks are filled one after another", "[sampler]") {
  BudgetRows rows({.ranks = 2, .tokens = 10});
  rows.Add({6, 3, 8});
  CHECK(rows.Available() < 100);
  rows.Add({2});
  CHECK(rows.Available() == 100);
  CHECK(rows.Pick() == Shares{{0, 1}, {2, 3}});
}

TEST_CASE("rows that fill no shares go to the lightest rank", "[sampler]") {
  BudgetRows rows({.ranks = 3, .tokens = 100});
  rows.Add({6, 3});
  CHECK(rows.Available() == 0);  // a rank would get none
  rows.Add({2, 2, 1, 1});
  CHECK(rows.Available() == 1);
  CHECK(rows.Pick() == Shares{{0}, {1, 4, 5}, {2, 3}});
}

TEST_CASE("UNDERFILL gives what is ready, with at least one row for each rank", "[sampler]") {
  BudgetRows rows({.ranks = 2, .tokens = 100, .underfill = true});
  rows.Add({6});
  CHECK(rows.Available() == 0);
  rows.Add({3});
  CHECK(rows.Available() == 100);
  CHECK(rows.Pick() == Shares{{0}, {1}});
}

TEST_CASE("groups are taken whole and weigh the sum of their rows", "[sampler]") {
  BudgetRows rows({.size = 2, .by = "u", .tokens = 10, .count = 5});
  for (const char* tag : {R"({"u":1,"n":3})", R"({"u":2,"n":4})", R"({"u":1,"n":2})",
                          R"({"u":2,"n":4})", R"({"u":3,"n":1})"}) {
    rows.Add(tag);
  }
  CHECK(rows.Pick() == Shares{{0, 2}});  // 5; with the second group it would be 13
  CHECK(rows.Available() == 5);
  rows.Take(0);
  rows.Take(2);
  CHECK(rows.Available() == 2);
}

TEST_CASE("a changed weight and a removed row change the shares", "[sampler]") {
  BudgetRows rows({.tokens = 10});
  rows.Add({4, 4, 4});
  CHECK(rows.Pick() == Shares{{0, 1}});
  rows.Write(1, R"({"n":7})");
  CHECK(rows.Pick() == Shares{{0}});
  rows.Remove(0);
  CHECK(rows.Pick() == Shares{{1}});
}

TEST_CASE("when all that can come is ready, it is what is possible", "[sampler]") {
  BudgetRows rows({.tokens = 10});
  rows.Add({1, 1});
  CHECK(rows.Possible() == 2);
  CHECK(rows.Available() == 2);
  BudgetRows shared({.ranks = 2, .tokens = 10});
  shared.Add({1});
  CHECK(shared.Possible() == 0);
}

TEST_CASE("the shares of all ranks have a largest number of rows", "[sampler]") {
  BudgetRows rows({.ranks = 32768, .tokens = 10});
  for (int i = 0; i < 65536; ++i) {
    rows.Add("{}");
  }
  CHECK(rows.Available() == 100);
  CHECK(rows.Pick().at(7) == std::vector<RowIndex>{14, 15});
}

TEST_CASE("TASK.EXPLAIN names the sum that is there", "[sampler]") {
  BudgetRows rows({.tokens = 10});
  CHECK(rows.Explain() == "sampler budget: there are 0 ready rows, and RANKS is 1");
  rows.Add({1, 2});
  CHECK(rows.Explain() == "sampler budget: the rows have 3 of n in sum, TOKENS is 10");
  BudgetRows shared({.ranks = 2, .by = "u", .tokens = 10});
  shared.Add({1, 2});
  CHECK(shared.Explain() == "sampler budget: there are 0 ready rows with u, and RANKS is 2");
}

TEST_CASE("thousands of weightless rows are read in steps that double", "[sampler]") {
  BudgetRows rows({.tokens = 5, .count = 5000});
  for (int i = 0; i < 3000; ++i) {
    rows.Add("{}");
  }
  CHECK(rows.Available() == 3000);
  rows.Add({5});
  CHECK(rows.Pick().at(0).size() == 3001);
  CHECK(rows.Available() == 5000);
}

}  // namespace
}  // namespace sluice::controller
