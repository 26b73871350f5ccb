// RowSteps: the rows chosen by WHERE that are left after others acted between its steps.
#include "server/commands/kv/row_steps.h"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "server/arguments/arg_reader.h"
#include "tests/server/commands/stage.h"

namespace sluice::server {
namespace {

using Indexes = std::vector<RowIndex>;

constexpr int kRows = 3000;
constexpr std::size_t kStepRows = 1024;

// A command `... p WHERE 1 g = a` that a test runs itself.
class Command {
 public:
  explicit Command(tests::TestServer& server)
      : turn_(server.Get().engine, server.Get().clock),
        context_{.server = server.Get(),
                 .stats = server.GetStats(),
                 .connection = client_,
                 .turn = turn_,
                 .scratch = scratch_,
                 .reply = reply_} {
    for (const std::string_view word : {"WHERE", "1", "g", "=", "a"}) {
      words_.push_back({.text = word, .blob = {}});
    }
    ArgReader args(words_);
    choice = ReadRowChoice(context_, args);
    REQUIRE(args.Finish().ok());
  }
  void LeaveEngine() { turn_.Leave(); }

  RowChoice choice;

 private:
  engine::Engine::Turn turn_;
  ConnectionInfo client_{[] {}};
  Scratch scratch_;
  resp::Reply reply_;
  std::vector<RequestArg> words_;
  Context context_;

 public:
  RowSteps steps{context_, "p"};
};

Indexes RowsOf(const RowSteps& steps) {
  const auto rows = steps.Rows().indexes;
  return {rows.begin(), rows.end()};
}

void MakeRows(Stage& stage, int rows) {
  stage.Write(Make(rows));
  Words tags = {"KV.MPUT", "p", "ROWS", "", "TAGS", std::to_string(rows)};
  for (std::int64_t row = 0; row < rows; ++row) {
    tags[3].append(reinterpret_cast<const char*>(&row), sizeof(row));
    tags.emplace_back(R"({"g":"a"})");
  }
  REQUIRE(stage.Write(tags)[0] == '*');
}

TEST_CASE("rows that no longer match are left out when a step is checked again", "[steps]") {
  Stage stage(0);
  const int rows = GENERATE(10, kRows);  // in one step, and in three
  MakeRows(stage, rows);
  Command command(stage.server);
  REQUIRE(command.steps.Begin(command.choice).ok());
  const std::size_t chosen = std::min(static_cast<std::size_t>(rows), kStepRows);
  REQUIRE(RowsOf(command.steps).size() == chosen);
  command.LeaveEngine();
  stage.Write({"KV.PUT", "p", "0", "TAG", R"({"g":"b"})"});
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "1"});
  command.steps.Recheck();
  const Indexes left = RowsOf(command.steps);
  CHECK(left.size() == chosen - 2);
  CHECK(left.front() == 2);
}

TEST_CASE("if the partition was recreated, no chosen row is left", "[steps]") {
  Stage stage(0);
  const int rows = GENERATE(10, kRows);
  MakeRows(stage, rows);
  Command command(stage.server);
  REQUIRE(command.steps.Begin(command.choice).ok());
  command.LeaveEngine();
  CHECK(stage.Write({"DEL", "p"}) == ":1\r\n");
  MakeRows(stage, rows);
  SECTION("when the step is checked again") {
    command.steps.Recheck();
    CHECK(RowsOf(command.steps).empty());
  }
  SECTION("when the next step begins") {
    CHECK(!command.steps.Next());
  }
}

TEST_CASE("each step has the rows that match when it begins", "[steps]") {
  Stage stage(0);
  MakeRows(stage, kRows);
  Command command(stage.server);
  REQUIRE(command.steps.Begin(command.choice).ok());
  command.LeaveEngine();
  stage.Write({"KV.PUT", "p", "1500", "TAG", R"({"g":"b"})"});
  std::size_t count = RowsOf(command.steps).size();
  while (command.steps.Next()) {
    const Indexes step = RowsOf(command.steps);
    CHECK(std::find(step.begin(), step.end(), 1500) == step.end());
    count += step.size();
  }
  CHECK(count == kRows - 1);
}

}  // namespace
}  // namespace sluice::server
