#include "server/commands/task/task_reply.h"

namespace sluice::server {

void ReplyOptional(std::optional<std::int64_t> number, resp::Reply& reply) {
  if (number) {
    reply.Integer(*number);
  } else {
    reply.Null();
  }
}

void ReplyTaskReport(const controller::TaskReport& report, resp::Reply& reply) {
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
