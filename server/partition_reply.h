// What a partition's fields and tasks look like from outside: for TASK.STATUS, PARTITION.INFO,
// KV.FIELDS.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "resp/reply.h"
#include "server/stream.h"

namespace sluice::server {

struct TaskReport {
  controller::TaskCounts counts;
  std::optional<std::int64_t> expected;
};

// Of the rows in which the selection's fields are ready. REQUIRES: the engine.
// Errors: std::bad_alloc.
TaskReport ReportTask(Stream& stream, controller::Task& task,
                      const controller::Selection& selection);
// How old the oldest row is that the task has not consumed; nullopt: there is none.
// REQUIRES: the engine.
std::optional<std::int64_t> OldestUnconsumedMs(Stream& stream, const controller::Task& task,
                                               std::int64_t now_ms);

// Appends so many pairs.
inline constexpr std::size_t kTaskReportPairs = 6;
void ReplyTaskReport(const TaskReport& report, resp::Reply& reply);
// The shapes of a field's rows, n x rank; nullopt where ranks differ.
using RowShapes = std::optional<std::vector<std::int64_t>>;
// KV.FIELDS: one entry a field; `shapes`: null: they were not asked for.
void ReplyField(const store::FieldSummary& field, const RowShapes* shapes, resp::Reply& reply);
void ReplyFields(std::span<const store::FieldSummary> fields, resp::Reply& reply);
// Nil where there is none.
void ReplyOptional(std::optional<std::int64_t> number, resp::Reply& reply);

}  // namespace sluice::server
