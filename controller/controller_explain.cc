// TASK.EXPLAIN: the reasons why a fetch would wait, as text.
#include <algorithm>

#include <fmt/format.h>

#include "controller/controller.h"

namespace sluice::controller {
namespace {

using Lines = std::vector<std::string>;

void ExplainMissing(const Fetch& fetch, const Controller::Obstacles& found, Lines& lines) {
  for (std::size_t i = 0; i < fetch.selection.fields.size(); ++i) {
    if (const auto& missing = found.missing[i]; missing.rows > 0) {
      lines.push_back(fmt::format("missing {}: {} rows lack the field, first row {}; write it",
                                  fetch.selection.fields[i], missing.rows, missing.first));
    }
  }
}

void ExplainTaken(const Task& task, std::int64_t now_us, Lines& lines) {
  constexpr std::int64_t kMillisecondUs = 1000;
  if (const std::int64_t consumed = task.Consumed().Count(); consumed > 0) {
    lines.push_back(
        fmt::format("consumed: task '{}' has consumed {} rows; TASK.RELEASE and "
                    "TASK.RESET make them ready again",
                    task.Name(), consumed));
  }
  const Leases& leases = task.GetLeases();
  if (leases.Rows() > 0) {
    const std::int64_t ms =
        (leases.NextDeadlineUs() - now_us + kMillisecondUs - 1) / kMillisecondUs;
    lines.push_back(
        fmt::format("leased: {} rows in {} leases; the first lease expires in {} ms unless it is "
                    "acknowledged, released or renewed",
                    leases.Rows(), leases.Count(), ms));
  }
}

}  // namespace

void Controller::ExplainExpect(const Task& task, const Fetch& fetch, std::int64_t possible,
                               Lines& lines) const {
  if (!expected_) {
    lines.push_back(
        fmt::format("expect: {} rows were created, and the partition has no EXPECT; more rows "
                    "must be created or become ready",
                    source_.RowsMade()));
    return;
  }
  const std::int64_t to_come = StillToCome();
  if (to_come == 0 && Unconsumed(task) == 0) {
    lines.push_back(
        fmt::format("expect: end of the stream: all {} rows were created, and task '{}' has "
                    "consumed every row that was not cleared",
                    *expected_, task.Name()));
  } else if (possible < fetch.min) {
    lines.push_back(
        fmt::format("expect: at most {} rows can ever become ready, {} are needed: "
                    "the reply is nil",
                    possible, fetch.min));
  } else {
    lines.push_back(fmt::format("expect: {} of {} rows were created, {} are still to come",
                                source_.RowsMade(), *expected_, to_come));
  }
}

void Controller::CopyTaken(const Task& task, RowBits& taken) {
  taken.CopyFrom(task.Consumed());
  task.GetLeases().ForEachRow([&taken](RowIndex row) { taken.Insert(row); });
}

bool Controller::Explain(const Fetch& fetch, const Moment& moment, const Obstacles* found,
                         Lines& lines) {
  Task& task = GetTask(fetch.task);
  const auto step = KnownStep(fetch);
  if (!step.ok() || *step != nullptr) {
    lines.push_back(step.ok() ? fmt::format("ok: step {} of rank {} is known and is repeated",
                                            fetch.step->step, fetch.step->rank)
                              : fmt::format("sampler: {}", step.GetStatus().Message()));
    return true;
  }
  View& view = ViewOf(task, fetch.selection);
  Sampler& sampler = view.SamplerOf(view.LineOf(fetch.sampler));
  const std::int64_t available = sampler.Available();
  const Decision decision = Decide(task, fetch, sampler, moment.time_is_up);
  if (decision.outcome == Outcome::kRows && decision.count > 0) {
    lines.push_back(fmt::format("ok: {} rows available, {} requested{}", available, fetch.count,
                                fetch.sampler.ranks > 1 ? " for each rank" : ""));
    return true;
  }
  if (found == nullptr) {
    return false;
  }
  ExplainMissing(fetch, *found, lines);
  ExplainTaken(task, moment.now_us, lines);
  const std::int64_t ready = view.Rows().Count();
  if (fetch.selection.where && found->complete > ready) {
    lines.push_back(fmt::format("where: {} complete rows do not match WHERE; change their tags",
                                found->complete - ready));
  }
  if (available * fetch.sampler.ranks < ready) {
    lines.push_back(fmt::format("sampler {} can take {} of the {} ready rows{}",
                                fetch.sampler.row->name, available * fetch.sampler.ranks, ready,
                                fetch.sampler.ranks > 1 ? ", equally for all ranks" : ""));
  }
  sampler.Explain({.next_index = std::max(source_.RowsMade(), existing_.Last() + 1),
                   .more_are_made = !expected_ || StillToCome() > 0},
                  lines);
  const std::int64_t possible = expected_ ? Possible(task, fetch, sampler) : 0;
  ExplainExpect(task, fetch, possible, lines);
  return true;
}

}  // namespace sluice::controller
