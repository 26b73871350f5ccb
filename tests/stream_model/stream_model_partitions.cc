// StreamModel: the PARTITION commands, and how leases end.
#include <algorithm>

#include "tests/stream_model/stream_model.h"

namespace sluice::tests {
namespace {

void SetLimit(std::optional<std::int64_t>& limit, const std::optional<std::int64_t>& value) {
  if (value) {
    limit = *value == 0 ? std::nullopt : value;
  }
}

bool ConsumedByAll(const StreamPartition& partition, const std::set<std::string>& tasks,
                   Index row) {
  return std::all_of(tasks.begin(), tasks.end(), [&partition, row](const std::string& task) {
    return partition.tasks.at(task).consumed.count(row) != 0;
  });
}

std::string OrNil(const std::optional<std::int64_t>& number) {
  return number ? std::to_string(*number) : "nil";
}

}  // namespace

std::string StreamModel::Create(const CreateRequest& request) {
  const auto found = partitions.find(request.partition);
  const bool has_tasks =
      !request.tasks.empty() || (found != partitions.end() && !found->second.named_tasks.empty());
  if (request.autoevict && !has_tasks) {
    return "-ERR";
  }
  StreamPartition& partition = Made(request.partition);
  SetLimit(partition.expect, request.expect);
  SetLimit(partition.maxrows, request.maxrows);
  SetLimit(partition.maxbytes, request.maxbytes);
  for (const FieldSchema& field : request.fields) {
    partition.schema[field.name] = field;
  }
  if (!request.tasks.empty()) {
    partition.named_tasks = {request.tasks.begin(), request.tasks.end()};
    for (const std::string& task : request.tasks) {
      partition.tasks[task];
    }
  }
  partition.strict = partition.strict || request.strict;
  partition.autoevict = partition.autoevict || request.autoevict;
  AutoEvict(request.partition);
  return "OK";
}

std::string StreamModel::ListPartitions() const {
  Words names;
  for (const auto& [name, partition] : partitions) {
    names.push_back(name);
  }
  return FlatList(names);
}

std::string StreamModel::Info(const std::string& name) const {
  const auto found = partitions.find(name);
  if (found == partitions.end()) {
    return "-NOPARTITION";
  }
  const StreamPartition& partition = found->second;
  Words tasks;
  for (const auto& [task_name, task] : partition.tasks) {
    std::string oldest = "nil";
    for (auto row = partition.rows.rbegin(); row != partition.rows.rend(); ++row) {
      if (task.consumed.count(row->first) == 0) {
        oldest = std::to_string((now_us - row->second.made_us) / 1000);
      }
    }
    std::string status = Status(name, task_name, std::nullopt, false);
    status.pop_back();
    status.append(",oldest_unconsumed_ms,").append(oldest).append("]");
    tasks.insert(tasks.end(), {task_name, status});
  }
  Words schema;
  for (const auto& [field, of] : partition.schema) {
    Words dims;
    for (const std::int64_t dim : of.dims) {
      dims.push_back(std::to_string(dim));
    }
    schema.push_back(FlatList({field, of.dtype, FlatList(dims)}));
  }
  const Words limits = {
      "expect",    OrNil(partition.expect),
      "maxrows",   OrNil(partition.maxrows),
      "maxbytes",  OrNil(partition.maxbytes),
      "ttl",       "nil",
      "strict",    partition.strict ? "1" : "0",
      "autoevict", partition.autoevict ? "1" : "0",
      "tasks",     FlatList({partition.named_tasks.begin(), partition.named_tasks.end()}),
      "fields",    FlatList(schema)};
  return FlatList({"rows", std::to_string(partition.rows.size()), "bytes",
                   std::to_string(partition.Bytes()), "tasks", FlatList(tasks), "limits",
                   FlatList(limits), "made", std::to_string(partition.made)});
}

std::string StreamModel::ReadyRows(const std::string& name, const Words& fields) const {
  const auto found = partitions.find(name);
  if (found == partitions.end()) {
    return "-NOPARTITION";
  }
  Indexes rows;
  std::string ready;
  for (const auto& [index, row] : found->second.rows) {
    rows.push_back(index);
    ready += row.Ready(fields) ? '\1' : '\0';
  }
  return FlatList({Packed(rows), ready});
}

std::string StreamModel::Evict(const std::string& name, const Words& tasks) {
  for (const std::string& task : tasks) {
    if (std::string error = Unknown(name, task); !error.empty()) {
      return error;
    }
  }
  StreamPartition& partition = partitions[name];
  std::size_t removed = 0;
  const StreamPartition before = partition;
  for (const auto& [index, row] : before.rows) {
    if (ConsumedByAll(before, {tasks.begin(), tasks.end()}, index)) {
      removed += partition.Remove(index);
    }
  }
  return std::to_string(removed);
}

void StreamModel::AutoEvict(const std::string& name) {
  const auto found = partitions.find(name);
  if (found == partitions.end() || !found->second.autoevict) {
    return;
  }
  StreamPartition& partition = found->second;
  std::set<Index> held(partition.held.begin(), partition.held.end());
  for (const std::string& task : partition.named_tasks) {
    held.merge(partition.tasks.at(task).Held());
  }
  const StreamPartition before = partition;
  for (const auto& [index, row] : before.rows) {
    if (held.count(index) == 0 && ConsumedByAll(before, before.named_tasks, index)) {
      partition.Remove(index);
    }
  }
}

namespace {

template <typename Ends>
void EndLeasesIf(StreamTask& task, Ends ends) {
  for (auto& [step_id, step] : task.steps) {
    if (step.lease && task.leases.count(*step.lease) != 0 && ends(task.leases[*step.lease])) {
      step.came_back = task.leases[*step.lease].rows;
    }
  }
  std::erase_if(task.leases, [&ends](const auto& lease) { return ends(lease.second); });
}

}  // namespace

void StreamModel::EndLeases() {
  for (auto& [name, partition] : partitions) {
    for (auto& [task_name, task] : partition.tasks) {
      EndLeasesIf(task, [this](const StreamLease& lease) { return lease.deadline_us <= now_us; });
    }
  }
}

void StreamModel::OnConnectionClosed(int client) {
  for (auto& [name, partition] : partitions) {
    for (auto& [task_name, task] : partition.tasks) {
      EndLeasesIf(task, [client](const StreamLease& lease) { return lease.client == client; });
    }
  }
}

}  // namespace sluice::tests
