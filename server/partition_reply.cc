#include "server/partition_reply.h"

#include <algorithm>

namespace sluice::server {

TaskReport ReportTask(Stream& stream, controller::Task& task,
                      const controller::Selection& selection) {
  return {.counts = stream.Tasks().Count(task, selection),
          .expected = stream.GetPartition().Terms().expect};
}

std::optional<std::int64_t> OldestUnconsumedMs(Stream& stream, const controller::Task& task,
                                               std::int64_t now_ms) {
  const store::RowIndex row = stream.Tasks().OldestUnconsumed(task);
  return row == store::kNoRow
             ? std::nullopt
             : std::optional(std::max<std::int64_t>(0, now_ms - stream.MadeMs(row)));
}

void ReplyOptional(std::optional<std::int64_t> number, resp::Reply& reply) {
  if (number) {
    reply.Integer(*number);
  } else {
    reply.Null();
  }
}

void ReplyField(const store::FieldSummary& field, const RowShapes* shapes, resp::Reply& reply) {
  reply.Array(shapes == nullptr ? 5 : 6);
  reply.Bulk(field.name.View());
  reply.Bulk(store::NameOf(field.dtype));
  if (field.dims) {
    reply.Array(field.dims->size());
    for (const std::int64_t dim : *field.dims) {
      reply.Integer(dim);
    }
  } else {
    reply.NullArray();
  }
  reply.Integer(field.ready_rows);
  reply.Integer(static_cast<std::int64_t>(field.bytes));
  if (shapes != nullptr && *shapes) {
    reply.Bulk(store::AsBytes(**shapes));
  } else if (shapes != nullptr) {
    reply.Null();
  }
}

void ReplyFields(std::span<const store::FieldSummary> fields, resp::Reply& reply) {
  reply.Array(fields.size());
  for (const store::FieldSummary& field : fields) {
    ReplyField(field, nullptr, reply);
  }
}

void ReplyTaskReport(const TaskReport& report, resp::Reply& reply) {
  reply.Bulk("total");
  reply.Integer(report.counts.total);
  reply.Bulk("expected");
  ReplyOptional(report.expected, reply);
  reply.Bulk("waiting");
  reply.Integer(report.counts.waiting);
  reply.Bulk("ready");
  reply.Integer(report.counts.ready);
  reply.Bulk("leased");
  reply.Integer(report.counts.leased);
  reply.Bulk("consumed");
  reply.Integer(report.counts.consumed);
}

}  // namespace sluice::server
