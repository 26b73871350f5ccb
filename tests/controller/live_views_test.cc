#include "controller/live_views.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "controller/controller.h"
#include "tests/controller/fake_rows.h"

namespace sluice::controller {
namespace {

class Partition {
 public:
  Partition() { tasks.Begin(); }
  void Write(RowIndex row) {
    rows.existing.Insert(row);
    rows.ready.Insert(row);
    tasks.RowWritten(row);
  }
  void Remove(RowIndex row) {
    rows.existing.Erase(row);
    rows.ready.Erase(row);
    tasks.RowGone(row);
  }
  std::int64_t ReadyRows(std::size_t task) {
    return tasks.Ready(tasks.GetTask(fmt::format("t{}", task)), selection).Count();
  }

  FakeRows rows;
  LeaseId lease_ids = 0;
  Controller tasks{rows, lease_ids, 1};
  Selection selection = {.fields = {"x"}, .where = std::nullopt, .where_text = ""};
};

class Consumer final : public Waiter {
 public:
  using Waiter::Waiter;
  Status Prepare(std::span<const RowIndex> /*rows*/) override { return {}; }
  void Answer(Result<Outcome> /*outcome*/, Fetched fetched) noexcept override {
    got = std::move(fetched.rows);
  }
  std::vector<RowIndex> got;
};

TEST_CASE(
    "A row that is written costs a check for each of the last views, however many there are") {
  Partition partition;
  for (std::size_t task = 0; task < 100; ++task) {
    CHECK(partition.ReadyRows(task) == 0);
  }
  partition.rows.looks = 0;
  partition.Write(0);
  CHECK(partition.rows.looks == LiveViews::kIdleMax);
}

TEST_CASE("An emptied view has the rows again when it is used") {
  Partition partition;
  for (RowIndex row = 0; row < 3; ++row) {
    partition.Write(row);
  }
  for (int round = 0; round < 3; ++round) {
    for (std::size_t task = 0; task < LiveViews::kIdleMax + 8; ++task) {
      CHECK(partition.ReadyRows(task) == 3);
    }
    partition.Remove(round);
    partition.Write(10 + round);
  }
  for (std::size_t task = 0; task < LiveViews::kIdleMax + 8; ++task) {
    partition.tasks.Acknowledge(*partition.tasks.FindTask(fmt::format("t{}", task)),
                                std::vector<RowIndex>{10, 11}, 0);
    CHECK(partition.ReadyRows(task) == 1);
  }
}

TEST_CASE("A view in which a fetch waits stays, whatever is used after it") {
  Partition partition;
  Fetch fetch;
  fetch.task = "first";
  fetch.selection = partition.selection;
  fetch.sampler.row = FindSampler("sequential");
  fetch.count = fetch.min = 1;
  Consumer consumer(fetch, 1);
  partition.tasks.Wait(consumer);
  for (std::size_t task = 0; task < 100; ++task) {
    partition.ReadyRows(task);
  }
  partition.Write(7);
  partition.tasks.ServeWaiters(0);
  CHECK(consumer.got == std::vector<RowIndex>{7});
}

TEST_CASE("TASK.RESET of many tasks reads the rows of the live views only") {
  Partition partition;
  partition.Write(0);
  for (std::size_t task = 0; task < 100; ++task) {
    CHECK(partition.ReadyRows(task) == 1);
    partition.tasks.Acknowledge(partition.tasks.GetTask(fmt::format("t{}", task)),
                                std::vector<RowIndex>{0}, 0);
  }
  partition.rows.looks = 0;
  for (const auto& [name, task] : partition.tasks.Tasks()) {
    partition.tasks.Reset(*task);
  }
  while (partition.tasks.StepRebuild()) {
  }
  CHECK(partition.rows.looks == LiveViews::kIdleMax);
  partition.Write(1);
  for (std::size_t task = 0; task < 100; ++task) {
    CHECK(partition.ReadyRows(task) == 2);
  }
}

TEST_CASE("TASK.RESET does not fill a view that was emptied before its turn") {
  Partition partition;
  partition.Write(0);
  Task& reset = partition.tasks.GetTask("reset");
  CHECK(partition.tasks.Ready(reset, partition.selection).Count() == 1);
  partition.tasks.Reset(reset);
  while (partition.tasks.Prepare(reset, partition.selection, nullptr)) {
  }
  for (std::size_t task = 0; task < 100; ++task) {
    partition.ReadyRows(task);
  }
  while (partition.tasks.StepRebuild()) {
  }
  partition.Remove(0);
  partition.Write(1);
  const RowBits& ready = partition.tasks.Ready(reset, partition.selection);
  CHECK_FALSE(ready.Contains(0));
  CHECK(ready.Contains(1));
}

}  // namespace
}  // namespace sluice::controller
