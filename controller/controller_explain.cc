// TASK.EXPLAIN: the reasons why a fetch would wait, as text.
#include <algorithm>

#include <fmt/format.h>

#include "controller/controller.h"

namespace sluice::controller {
namespace {

using Lines = std::vector<std::string>;

// Returns "1 row" or "2 rows", for a `noun` like "row".
std::string Counted(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// Returns "was" or "were", and so on.
std::string_view Choose(std::int64_t count, std::string_view one, std::string_view many) {
  return count == 1 ? one : many;
}

// With TOKENS nobody knows how many rows a share will have.
std::string ExplainOk(const Fetch& fetch, std::int64_t available) {
  const std::string_view each = fetch.sampler.ranks > 1 ? " for each rank" : "";
  return fetch.sampler.tokens > 0 ? fmt::format("ok: rows are available{}", each)
                                  : fmt::format("ok: {} available, {} requested{}",
                                                Counted(available, "row"), fetch.count, each);
}

void ExplainMissing(const Fetch& fetch, const Controller::Obstacles& found, Lines& lines) {
  for (std::size_t i = 0; i < fetch.selection.fields.size(); ++i) {
    if (const auto& missing = found.missing[i]; missing.rows > 0) {
      lines.push_back(fmt::format("missing {}: {} {} the field, first row {}; write it",
                                  fetch.selection.fields[i], Counted(missing.rows, "row"),
                                  Choose(missing.rows, "lacks", "lack"), missing.first));
    }
  }
}

void ExplainTaken(const Task& task, std::int64_t now_us, Lines& lines) {
  constexpr std::int64_t kMillisecondUs = 1000;
  if (const std::int64_t consumed = task.Consumed().Count(); consumed > 0) {
    lines.push_back(
        fmt::format("consumed: task '{}' has consumed {}; TASK.RELEASE and TASK.RESET make {} "
                    "ready again",
                    task.Name(), Counted(consumed, "row"), Choose(consumed, "it", "them")));
  }
  const Leases& leases = task.GetLeases();
  if (leases.Rows() > 0) {
    const std::int64_t ms =
        (leases.NextDeadlineUs() - now_us + kMillisecondUs - 1) / kMillisecondUs;
    lines.push_back(
        fmt::format("leased: {} in {}; the first lease expires in {} ms unless it is "
                    "acknowledged, released or renewed",
                    Counted(leases.Rows(), "row"),
                    Counted(static_cast<std::int64_t>(leases.Count()), "lease"), ms));
  }
}

}  // namespace

void Controller::ExplainExpect(const Task& task, const Fetch& fetch, std::int64_t possible,
                               Lines& lines) const {
  const std::int64_t made = source_.RowsMade();
  if (!expected_) {
    lines.push_back(
        fmt::format("expect: {} {} created, and the partition has no EXPECT; more rows must be "
                    "created or become ready",
                    Counted(made, "row"), Choose(made, "was", "were")));
    return;
  }
  const std::int64_t to_come = StillToCome();
  if (to_come == 0 && Unconsumed(task) == 0) {
    lines.push_back(
        fmt::format("expect: end of the stream: {} created, and task '{}' has consumed every row "
                    "that was not cleared",
                    *expected_ == 1 ? "the 1 row was" : fmt::format("all {} rows were", *expected_),
                    task.Name()));
  } else if (possible < fetch.last) {
    lines.push_back(
        fmt::format("expect: at most {} can ever become ready, {} {} needed: the reply is nil",
                    Counted(possible, "row"), fetch.last, Choose(fetch.last, "is", "are")));
  } else {
    lines.push_back(fmt::format("expect: {} of {} {} created, {} {} still to come", made,
                                Counted(*expected_, "row"), Choose(made, "was", "were"), to_come,
                                Choose(to_come, "is", "are")));
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
    lines.push_back(ExplainOk(fetch, available));
    return true;
  }
  if (found == nullptr) {
    return false;
  }
  ExplainMissing(fetch, *found, lines);
  ExplainTaken(task, moment.now_us, lines);
  const std::int64_t ready = view.Rows().Count();
  if (fetch.selection.where && found->complete > ready) {
    const std::int64_t left_out = found->complete - ready;
    lines.push_back(fmt::format(
        "where: {} {} match WHERE; change {}", Counted(left_out, "complete row"),
        Choose(left_out, "does not", "do not"), Choose(left_out, "its tag", "their tags")));
  }
  if (fetch.sampler.tokens == 0 && available * fetch.sampler.ranks < ready) {
    lines.push_back(fmt::format("sampler {} can take {} of the {}{}", fetch.sampler.row->name,
                                available * fetch.sampler.ranks, Counted(ready, "ready row"),
                                fetch.sampler.ranks > 1 ? ", equally for all ranks" : ""));
  }
  sampler.Explain({.next_index = std::max(source_.RowsMade(), existing_.Last() + 1),
                   .more_are_made = !expected_ || StillToCome() > 0},
                  lines);
  const std::int64_t every = existing_.Count() + 1;
  const std::int64_t possible = expected_ ? Possible(task, fetch, sampler, every) : 0;
  ExplainExpect(task, fetch, possible, lines);
  return true;
}

}  // namespace sluice::controller
