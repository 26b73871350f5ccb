// StreamModel: TASK.FETCH.
#include <algorithm>
#include <utility>

#include "tests/stream_model/stream_model.h"
#include "tests/stream_model/stream_samplers.h"

namespace sluice::tests {
namespace {

// How many rows one rank can get now; COUNT if that is enough.
std::size_t Available(const StreamPartition& partition, const FetchRequest& request,
                      const std::vector<Indexes>& offer) {
  if (!request.sampler.Fills()) {
    return offer.size() / request.sampler.ranks * request.sampler.size;
  }
  const Filled filled = Fill(partition, request, offer);
  const bool enough = filled.full || (request.sampler.underfill && filled.Fewest() > 0);
  return enough ? request.count : filled.Fewest();
}

// The most rows (with RANKS: of one rank) that this fetch could get; `budget`: a bound, which is
// reached if all that can come is here.
std::size_t Potential(const StreamPartition& partition, const FetchRequest& request,
                      const std::vector<Indexes>& offer) {
  const auto found = partition.tasks.find(request.task);
  const auto consumed = [&found, &partition](Index row) {
    return found != partition.tasks.end() && found->second.consumed.count(row) != 0;
  };
  const SamplerSpec& sampler = request.sampler;
  const Index left = std::max<Index>(0, *partition.expect - partition.made);
  std::size_t rows = static_cast<std::size_t>(left);
  if (sampler.Grouped() && left == 0) {
    std::size_t groups = 0;
    for (const Indexes& group : WholeGroups(partition, sampler)) {
      groups += std::none_of(group.begin(), group.end(), consumed) ? 1 : 0;
    }
    if (sampler.Fills()) {
      const bool all_here = groups == offer.size();
      return all_here ? Available(partition, request, offer)
                      : (groups < sampler.ranks ? 0 : groups * sampler.size);
    }
    return groups / sampler.ranks * sampler.size;
  }
  for (const auto& [index, row] : partition.rows) {
    rows += consumed(index) ? 0 : 1;
  }
  return sampler.Fills() ? rows : rows / sampler.ranks / sampler.size * sampler.size;
}

bool Ended(const StreamPartition& partition, const std::string& task) {
  const auto found = partition.tasks.find(task);
  return partition.expect && partition.made >= *partition.expect &&
         std::all_of(partition.rows.begin(), partition.rows.end(), [&](const auto& row) {
           return found != partition.tasks.end() && found->second.consumed.count(row.first) != 0;
         });
}

// Takes `rows` of the offer (with RANKS: for each rank; with TOKENS: at most).
Plan Take(const StreamPartition& partition, const FetchRequest& request, std::size_t rows,
          const std::vector<Indexes>& offer) {
  const SamplerSpec& sampler = request.sampler;
  Plan plan{.kind = Plan::Kind::kRows};
  if (sampler.Random()) {
    plan.count = rows;
    double sum = 0;
    for (const Indexes& row : offer) {
      plan.rows.push_back(row[0]);
      sum += sampler.name == "priority" ? WeightOf(partition.rows.at(row[0]), sampler.weight) : 0;
    }
    if (sampler.name == "priority") {
      for (const Index row : plan.rows) {
        plan.weights[row] = WeightOf(partition.rows.at(row), sampler.weight) / sum;
      }
    }
    return plan;
  }
  if (sampler.Fills()) {
    const std::vector<Indexes> shares = Fill(partition, request, offer).shares;
    plan.shares = sampler.ranks > 1 ? shares : std::vector<Indexes>();
    plan.rows = shares[sampler.ranks > 1 ? static_cast<std::size_t>(request.step->rank) : 0];
    return plan;
  }
  std::vector<Indexes> taken(
      offer.begin(),
      offer.begin() + static_cast<std::ptrdiff_t>(rows / sampler.size * sampler.ranks));
  if (sampler.name == "balanced") {
    std::vector<double> weights;
    for (const Indexes& group : taken) {
      weights.push_back(0);
      for (const Index row : group) {
        weights.back() +=
            sampler.weight.empty() ? 1 : WeightOf(partition.rows.at(row), sampler.weight);
      }
    }
    for (const std::vector<std::size_t>& part : Deal(weights, sampler.ranks)) {
      Indexes& share = plan.shares.emplace_back();
      for (const std::size_t group : part) {
        share.insert(share.end(), taken[group].begin(), taken[group].end());
      }
    }
    plan.rows = plan.shares[static_cast<std::size_t>(request.step->rank)];
    return plan;
  }
  for (const Indexes& group : taken) {
    plan.rows.insert(plan.rows.end(), group.begin(), group.end());
  }
  return plan;
}

}  // namespace

std::string Plan::KindName() const {
  switch (kind) {
    case Kind::kWaits:
      return "waits";
    case Kind::kNil:
      return "nil";
    case Kind::kError:
      return "error";
    case Kind::kEnd:
      return "end";
    default:
      return "rows";
  }
}

Plan StreamModel::PlanFetch(const FetchRequest& request, bool time_is_up) const {
  Plan nothing{.kind = time_is_up ? Plan::Kind::kNil : Plan::Kind::kWaits};
  const auto found = partitions.find(request.partition);
  if (found == partitions.end()) {
    return nothing;
  }
  const StreamPartition& partition = found->second;
  const std::string error = partition.Forbids(request.task, request.fields);
  if (!error.empty()) {
    return {.kind = Plan::Kind::kError, .error = error};
  }
  if (const auto task = partition.tasks.find(request.task);
      request.step && task != partition.tasks.end()) {
    if (const auto step = task->second.steps.find(*request.step);
        step != task->second.steps.end()) {
      return PlanAgain(request, step->second);
    }
    if (SharesStep(task->second, request)) {
      return {.kind = Plan::Kind::kError, .error = "-ERR", .known_step = true};
    }
  }
  const std::vector<Indexes> offer = Offer(partition, request);
  const std::size_t available = Available(partition, request, offer);
  if (available >= request.count) {
    return Take(partition, request, request.count, offer);
  }
  if (Ended(partition, request.task)) {
    return {.kind = Plan::Kind::kEnd};
  }
  if (partition.expect) {
    const std::size_t potential = Potential(partition, request, offer);
    if (potential < request.LeastAtEnd()) {
      return {.kind = Plan::Kind::kNil};
    }
    if (available >= request.LeastAtEnd() && available == potential) {
      return Take(partition, request, available, offer);
    }
  }
  return time_is_up && available >= request.Least() ? Take(partition, request, available, offer)
                                                    : nothing;
}

bool StreamModel::SharesStep(const StreamTask& task, const FetchRequest& request) {
  for (std::size_t rank = 0; rank < request.sampler.ranks; ++rank) {
    const StepId id = {.rank = static_cast<std::int64_t>(rank), .step = request.step->step};
    if (request.sampler.ranks > 1 && task.steps.count(id) != 0) {
      return true;
    }
  }
  return false;
}

Plan StreamModel::PlanAgain(const FetchRequest& request, const StreamStep& step) const {
  const StreamPartition& partition = partitions.at(request.partition);
  const StreamTask& task = partition.tasks.at(request.task);
  const auto fails = [](const std::string& error) {
    return Plan{.kind = Plan::Kind::kError, .error = error, .known_step = true};
  };
  if (step.count != request.count || step.sampler != request.sampler.ToWords()) {
    return fails("-ERR");
  }
  for (const Index row : step.rows) {
    if (partition.rows.count(row) == 0) {
      return fails("-NOKEY");
    }
  }
  for (const Index row : step.came_back) {
    if (!task.Free(row)) {
      return fails("-ERR the rows of rank");
    }
  }
  for (const std::string& field : request.format.empty() ? Words() : request.fields) {
    if (!partition.Holds(field)) {
      return fails("-NOFIELD");
    }
  }
  for (const Index row : request.format == "columns" ? step.rows : Indexes()) {
    if (!partition.rows.at(row).Ready(request.fields)) {
      return fails("-NOTREADY");
    }
  }
  Plan plan{.kind = Plan::Kind::kRows, .rows = step.rows, .known_step = true};
  for (std::size_t i = 0; i < step.weights.size(); ++i) {
    plan.weights[step.rows[i]] = step.weights[i];
  }
  return plan;
}

void StreamModel::NoteFetch(const FetchRequest& request) {
  const auto found = partitions.find(request.partition);
  if (found != partitions.end() && found->second.Forbids(request.task, request.fields).empty()) {
    found->second.tasks[request.task].fields = request.fields;
  }
}

std::optional<int> StreamModel::Hold(StreamTask& task, const StreamLease& lease) {
  if (lease.rows.empty()) {
    return std::nullopt;
  }
  task.leases[++leases_made_] = lease;
  return leases_made_;
}

std::optional<int> StreamModel::TakeFetch(const FetchRequest& request, const Plan& plan,
                                          const Indexes& rows, int client) {
  StreamPartition& partition = partitions[request.partition];
  StreamTask& task = partition.tasks[request.task];
  if (plan.known_step) {
    const std::optional<int> lease = TakeAgain(request, task.steps[*request.step], client);
    task.Ask(*request.step, partition.RowsToHold());
    return lease;
  }
  std::vector<Indexes> shares = plan.shares;
  const bool shared = !shares.empty();
  if (!shared) {
    shares = {rows};
  }
  std::optional<int> told;
  ++deals_made_;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    const bool own = !shared || static_cast<std::int64_t>(rank) == request.step->rank;
    std::optional<int> lease;
    if (request.lease_ms) {
      lease = Hold(task, {.id = "",
                          .deadline_us = now_us + *request.lease_ms * 1000,
                          .client = request.bound && own ? std::optional(client) : std::nullopt,
                          .rows = {shares[rank].begin(), shares[rank].end()}});
    } else if (!request.keep) {
      task.consumed.insert(shares[rank].begin(), shares[rank].end());
    }
    if (own) {
      told = lease;
    }
    if (request.step) {
      StreamStep step{.count = request.count,
                      .sampler = request.sampler.ToWords(),
                      .rows = shares[rank],
                      .deal = deals_made_,
                      .given_again = false,
                      .weights = {},
                      .lease = lease,
                      .came_back = {},
                      .holds = !request.lease_ms};
      if (step.holds) {
        step.held.insert(step.rows.begin(), step.rows.end());
      }
      if (request.sampler.name == "priority") {
        for (const Index row : rows) {
          step.weights.push_back(plan.weights.at(row));
        }
      }
      const std::int64_t of = shared ? static_cast<std::int64_t>(rank) : request.step->rank;
      task.steps[{of, request.step->step}] = step;
    }
  }
  if (request.step) {
    task.Ask(*request.step, partition.RowsToHold());
  }
  return told;
}

std::optional<int> StreamModel::TakeAgain(const FetchRequest& request, StreamStep& step,
                                          int client) {
  StreamTask& task = partitions[request.partition].tasks[request.task];
  const std::set<Index> came_back = std::exchange(step.came_back, {});
  step.given_again = true;
  if (!request.lease_ms) {
    task.consumed.insert(came_back.begin(), came_back.end());
    step.holds = step.holds || !came_back.empty();
    step.held.insert(came_back.begin(), came_back.end());
    return std::nullopt;
  }
  if (!came_back.empty()) {
    step.lease =
        Hold(task, {.id = "", .deadline_us = 0, .client = std::nullopt, .rows = came_back});
  }
  if (!step.lease || task.leases.count(*step.lease) == 0) {
    return std::nullopt;
  }
  StreamLease& lease = task.leases[*step.lease];
  lease.deadline_us = now_us + *request.lease_ms * 1000;
  if (request.bound) {
    lease.client = client;
  }
  return step.lease;
}

void StreamModel::GiveBack(const FetchRequest& request, const Plan& plan,
                           std::optional<int> lease) {
  if (plan.kind != Plan::Kind::kRows || !plan.shares.empty()) {
    return;  // the shares of one deal do not change
  }
  StreamTask& task = partitions[request.partition].tasks[request.task];
  if (request.step && task.steps[*request.step].given_again) {
    return;  // other shares have them, too
  }
  if (lease) {
    task.leases.erase(*lease);
  } else if (!request.keep) {
    for (const Index row : plan.rows) {
      task.consumed.erase(row);
    }
  }
  if (request.step) {
    task.steps.erase(*request.step);
  }
}

}  // namespace sluice::tests
