// Metrics of partitions, their fields and their tasks.
#include <algorithm>
#include <string>
#include <vector>

#include "controller/streams.h"
#include "server/reports/metrics/families.h"
#include "server/reports/metrics/metrics.h"
#include "store/partition/partition.h"

namespace sluice::server {
namespace {

struct ListedTask {
  std::string name;
  std::int64_t consumed_rows = 0;
  std::int64_t leased_rows = 0;
  std::int64_t leases = 0;
  std::int64_t waiters = 0;
  std::int64_t oldest_unconsumed_ms = 0;
};

struct ListedPartition {
  Text name;
  std::int64_t rows = 0;
  std::int64_t rows_made = 0;
  std::int64_t bytes = 0;
  std::vector<store::FieldSummary> fields;
  std::vector<ListedTask> tasks;
};

struct Listing {
  std::vector<ListedPartition> partitions;  // by name
  std::int64_t not_listed = 0;
};

// Does not count ready rows: that would create a view, which every later write must update.
ListedTask Describe(controller::Stream& stream, const controller::Task& task, std::int64_t now_ms) {
  const controller::Leases& leases = task.GetLeases();
  return {.name = task.Name(),
          .consumed_rows = task.Consumed().Count(),
          .leased_rows = leases.Rows(),
          .leases = static_cast<std::int64_t>(leases.Count()),
          .waiters = static_cast<std::int64_t>(task.Waiters()),
          .oldest_unconsumed_ms = stream.OldestUnconsumedMs(task, now_ms).value_or(0)};
}

ListedPartition Describe(store::Partition& partition, std::int64_t now_ms) {
  ListedPartition listed = {.name = partition.Name(),
                            .rows = static_cast<std::int64_t>(partition.Rows()),
                            .rows_made = partition.RowsMade(),
                            .bytes = partition.ValueBytes(),
                            .fields = {},
                            .tasks = {}};
  partition.Summarize(listed.fields);
  if (controller::Stream* const stream = controller::Streams::Find(partition)) {
    for (const auto& [name, task] : stream->Tasks().Tasks()) {
      listed.tasks.push_back(Describe(*stream, *task, now_ms));
    }
  }
  return listed;
}

Listing ListPartitions(Server& server) {
  Listing listing;
  std::string from;
  std::size_t parts = 0;
  for (bool more = true; more;) {
    engine::Engine::Turn turn(server.engine, server.clock);
    engine::EngineLock& lock = turn.Enter();
    store::Partition* const partition =
        server.store(lock).PartitionFrom(from);  // does not touch the partition
    more = partition != nullptr && parts < kListedPartsMax &&
           listing.partitions.size() < kListedPartitionsMax;
    if (more) {
      listing.partitions.push_back(Describe(*partition, server.store(lock).NowMs()));
      parts += listing.partitions.back().fields.size() + listing.partitions.back().tasks.size();
      from = partition->Name().View();
      from += '\0';  // the smallest name after this one
    } else if (partition != nullptr) {
      const std::size_t listed = listing.partitions.size();  // some may be removed by now
      listing.not_listed =
          static_cast<std::int64_t>(std::max(server.store(lock).Partitions(), listed + 1) - listed);
    }
    turn.Leave();
    server.stats.metrics_hold_us.Add(turn.TakeLongestHold());
  }
  return listing;
}

void SamplePartitions(const Listing& listing, std::int64_t ListedPartition::*number,
                      PrometheusText& text) {
  for (const ListedPartition& partition : listing.partitions) {
    text.Sample({{"partition", partition.name.View()}}, partition.*number);
  }
}

// Calls sample(labels, task) for each task.
template <typename Function>
void ForEachTask(const Listing& listing, const Function& sample) {
  for (const ListedPartition& partition : listing.partitions) {
    for (const ListedTask& task : partition.tasks) {
      sample({{"partition", partition.name.View()}, {"task", task.name}}, task);
    }
  }
}

void SampleTasks(const Listing& listing, std::int64_t ListedTask::*number, PrometheusText& text) {
  ForEachTask(listing, [&](PrometheusText::Labels labels, const ListedTask& task) {
    text.Sample(labels, task.*number);
  });
}

void TaskMetrics(const Listing& listing, PrometheusText& text) {
  text.Gauge("task_consumed_rows",
             "Existing rows that the task has consumed, by partition and task.");
  SampleTasks(listing, &ListedTask::consumed_rows, text);
  text.Gauge("task_oldest_unconsumed_seconds",
             "Age of the oldest row that the task has not consumed; 0 if there is none.");
  ForEachTask(listing, [&](PrometheusText::Labels labels, const ListedTask& task) {
    text.Sample(labels, static_cast<double>(task.oldest_unconsumed_ms) / 1e3);
  });
  text.Gauge("task_waiters", "Blocked fetches, by partition and task.");
  SampleTasks(listing, &ListedTask::waiters, text);
  text.Gauge("task_leases", "Running leases, by partition and task.");
  SampleTasks(listing, &ListedTask::leases, text);
  text.Gauge("task_leased_rows", "Rows that leases hold, by partition and task.");
  SampleTasks(listing, &ListedTask::leased_rows, text);
}

}  // namespace

void PartitionMetrics(Server& server, PrometheusText& text) {
  const Listing listing = ListPartitions(server);
  text.Gauge("partitions_not_listed",
             "Partitions that the following metrics leave out: too many for one page.");
  text.Sample({}, listing.not_listed);
  text.Gauge("partition_rows", "Rows that exist, by partition.");
  SamplePartitions(listing, &ListedPartition::rows, text);
  text.Counter("partition_rows_made_total", "Rows ever made, by partition.");
  SamplePartitions(listing, &ListedPartition::rows_made, text);
  text.Gauge("partition_bytes",
             "Bytes of stored values, by partition; a shared value counts once.");
  SamplePartitions(listing, &ListedPartition::bytes, text);
  text.Gauge("field_ready_rows", "Rows in which the field is ready, by partition and field.");
  for (const ListedPartition& partition : listing.partitions) {
    for (const store::FieldSummary& field : partition.fields) {
      text.Sample({{"partition", partition.name.View()}, {"field", field.name.View()}},
                  field.ready_rows);
    }
  }
  TaskMetrics(listing, text);
}

}  // namespace sluice::server
