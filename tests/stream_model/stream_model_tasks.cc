// StreamModel: the TASK commands except FETCH.
#include <algorithm>

#include "tests/stream_model/stream_model.h"

namespace sluice::tests {

std::optional<int> StreamTask::LeaseOf(Index row) const {
  for (const auto& [number, lease] : leases) {
    if (lease.rows.count(row) != 0) {
      return number;
    }
  }
  return std::nullopt;
}

bool StreamTask::Free(Index row) const {
  return consumed.count(row) == 0 && !LeaseOf(row);
}

void StreamTask::TakeFromLeases(Index row) {
  for (auto& [number, lease] : leases) {
    lease.rows.erase(row);
  }
  std::erase_if(leases, [](const auto& lease) { return lease.second.rows.empty(); });
}

void StreamTask::ForgetStepsOf(Index row) {
  std::set<int> deals;
  for (const auto& [id, step] : steps) {
    if (std::find(step.rows.begin(), step.rows.end(), row) != step.rows.end()) {
      deals.insert(step.deal);
    }
  }
  std::erase_if(steps, [&deals](const auto& step) { return deals.count(step.second.deal) != 0; });
}

std::set<Index> StreamTask::Held() const {
  std::set<Index> held;
  for (const auto& [id, step] : steps) {
    held.insert(step.held.begin(), step.held.end());
  }
  return held;
}

void StreamTask::Ask(const StepId& id, std::size_t rows) {
  constexpr std::size_t kStepsToHold = 64;  // of a rank
  if (!steps[id].holds) {
    return;
  }
  steps[id].asked = ++asks;
  std::set<std::int64_t> ranks;
  std::map<int, StreamStep*> of_rank;  // those that hold, by last call
  std::size_t rows_of_rank = 0;
  for (auto& [of, step] : steps) {
    ranks.insert(of.rank);
    if (of.rank == id.rank && step.holds && step.asked != 0) {
      of_rank[step.asked] = &step;
      rows_of_rank += step.rows.size();
    }
  }
  while (of_rank.size() > kStepsToHold || rows_of_rank > rows / ranks.size()) {
    StreamStep& oldest = *of_rank.begin()->second;
    rows_of_rank -= oldest.rows.size();
    oldest.holds = false;
    oldest.held.clear();
    of_rank.erase(of_rank.begin());
  }
}

// Returns "", or the error if one of them does not exist.
std::string StreamModel::Unknown(const std::string& partition, const std::string& task) const {
  const auto found = partitions.find(partition);
  return found == partitions.end()              ? "-NOPARTITION"
         : found->second.tasks.count(task) == 0 ? "-NOTASK"
                                                : "";
}

namespace {

// Returns whether this lease holds it. Without a lease: always true.
bool Under(const StreamTask& task, Index row, const std::optional<std::string>& lease) {
  const auto number = task.LeaseOf(row);
  return !lease || (number && task.leases.at(*number).id == *lease);
}

}  // namespace

std::string StreamModel::Ack(const std::string& partition, const std::string& task_name,
                             const RowList& rows, const std::optional<std::string>& lease) {
  if (std::string error = Unknown(partition, task_name); !error.empty()) {
    return error;
  }
  StreamTask& task = partitions[partition].tasks[task_name];
  int consumed = 0;
  Indexes acknowledged;
  for (const Index row : partitions[partition].Choose(rows)) {
    if (task.consumed.count(row) == 0 && Under(task, row, lease)) {
      task.TakeFromLeases(row);
      task.consumed.insert(row);
      ++consumed;
      acknowledged.push_back(row);
    } else if (!lease) {
      acknowledged.push_back(row);
    }
  }
  for (auto& [id, step] : task.steps) {
    for (const Index row : acknowledged) {
      step.held.erase(row);
    }
  }
  AutoEvict(partition);
  return std::to_string(consumed);
}

std::string StreamModel::Release(const std::string& partition, const std::string& task_name,
                                 const RowList& rows, const std::optional<std::string>& lease) {
  if (std::string error = Unknown(partition, task_name); !error.empty()) {
    return error;
  }
  StreamTask& task = partitions[partition].tasks[task_name];
  int released = 0;
  for (const Index row : partitions[partition].Choose(rows)) {
    if (task.Free(row) || !Under(task, row, lease)) {
      continue;
    }
    ++released;
    task.TakeFromLeases(row);
    task.consumed.erase(row);
    task.ForgetStepsOf(row);
  }
  AutoEvict(partition);
  return std::to_string(released);
}

std::string StreamModel::Renew(const std::string& partition, const std::string& task,
                               const std::string& id, std::int64_t ms) {
  if (std::string error = Unknown(partition, task); !error.empty()) {
    return error;
  }
  for (auto& [number, lease] : partitions[partition].tasks[task].leases) {
    if (lease.id == id) {
      lease.deadline_us = now_us + ms * 1000;
      return std::to_string(lease.rows.size());
    }
  }
  return "0";
}

std::string StreamModel::Status(const std::string& partition, const std::string& task_name,
                                const std::optional<Words>& fields, bool bitmap) const {
  if (std::string error = Unknown(partition, task_name); !error.empty()) {
    return error;
  }
  const StreamPartition& of = partitions.at(partition);
  const StreamTask& task = of.tasks.at(task_name);
  std::map<std::string, int> counts;
  Indexes rows;
  std::string consumed;
  for (const auto& [index, row] : of.rows) {
    const std::string state = task.consumed.count(index) != 0             ? "consumed"
                              : task.LeaseOf(index)                       ? "leased"
                              : row.Ready(fields ? *fields : task.fields) ? "ready"
                                                                          : "waiting";
    ++counts[state];
    rows.push_back(index);
    consumed += state == "consumed" ? '\1' : '\0';
  }
  Words items = {"total", std::to_string(of.rows.size()), "expected",
                 of.expect ? std::to_string(*of.expect) : "nil"};
  for (const std::string state : {"waiting", "ready", "leased", "consumed"}) {
    items.insert(items.end(), {state, std::to_string(counts[state])});
  }
  if (bitmap) {
    items.insert(items.end(), {"rows", Packed(rows), "consumed_rows", consumed});
  }
  return FlatList(items);
}

std::string StreamModel::Ready(const std::string& partition, const std::string& task,
                               const Words& fields, const Where& where) {
  const auto found = partitions.find(partition);
  if (found == partitions.end()) {
    return "-NOPARTITION";
  }
  if (std::string error = found->second.Forbids(task, fields); !error.empty()) {
    return error;
  }
  Indexes ready;
  for (const auto& [index, row] : found->second.rows) {
    if (row.Ready(fields) && Fits(row.tag, where) && found->second.tasks[task].Free(index)) {
      ready.push_back(index);
    }
  }
  found->second.tasks[task];
  return Packed(ready);
}

std::string StreamModel::Reset(const std::string& partition,
                               const std::optional<std::string>& only) {
  const auto found = partitions.find(partition);
  if (found == partitions.end()) {
    return "-NOPARTITION";
  }
  for (auto& [name, task] : found->second.tasks) {
    if (!only || name == *only) {
      task.consumed.clear();
      task.leases.clear();
      task.steps.clear();
    }
  }
  return "OK";
}

std::string StreamModel::ListTasks(const std::string& partition) const {
  const auto found = partitions.find(partition);
  if (found == partitions.end()) {
    return "-NOPARTITION";
  }
  Words names;
  for (const auto& [name, task] : found->second.tasks) {
    names.push_back(name);
  }
  return FlatList(names);
}

std::string StreamModel::PlanClaim(const ClaimRequest& request, Indexes& rows) const {
  const auto found = partitions.find(request.partition);
  if (found == partitions.end()) {
    return "-NOPARTITION";
  }
  const StreamPartition& partition = found->second;
  if (std::string error = partition.Forbids(request.task, request.fields); !error.empty()) {
    return error;
  }
  const auto task = partition.tasks.find(request.task);
  const Indexes there = partition.Choose(request.rows);
  const std::size_t named = request.rows.keys      ? request.rows.keys->size()
                            : request.rows.indexes ? request.rows.indexes->size()
                                                   : there.size();
  for (const Index row : there) {
    if (partition.rows.at(row).Ready(request.fields) &&
        (task == partition.tasks.end() || task->second.Free(row))) {
      rows.push_back(row);
    }
  }
  if (request.all && rows.size() < named) {
    rows.clear();
  }
  return "";
}

std::optional<int> StreamModel::TakeClaim(const ClaimRequest& request, const Indexes& rows,
                                          int client) {
  StreamPartition& partition = partitions[request.partition];
  StreamTask& task = partition.tasks[request.task];
  if (request.lease_ms) {
    return Hold(task, {.id = "",
                       .deadline_us = now_us + *request.lease_ms * 1000,
                       .client = request.bound ? std::optional(client) : std::nullopt,
                       .rows = {rows.begin(), rows.end()}});
  }
  task.consumed.insert(rows.begin(), rows.end());
  AutoEvict(request.partition);
  return std::nullopt;
}

}  // namespace sluice::tests
