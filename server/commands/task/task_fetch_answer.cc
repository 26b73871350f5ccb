#include "server/commands/task/task_fetch_answer.h"

#include <memory>
#include <string>
#include <utility>

namespace sluice::server {
namespace {

using controller::Fetched;
using controller::Outcome;

// Rows in a reply that is being sent.
class FetchDelivery final : public Delivery {
 public:
  FetchDelivery(Server& server, const FetchArgs& args, const FetchAnswer& answer)
      : server_(server),
        partition_(args.partition),
        incarnation_(answer.incarnation),
        fetched_(answer.fetched),
        held_(answer.held) {
    fetch_.task = args.fetch.task;
    fetch_.step = args.fetch.step;
  }
  void GiveBack(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    if (controller::Stream* const stream = StreamOf(lock, server_, partition_, incarnation_)) {
      stream->Tasks().GiveBack(fetch_, fetched_);
      server_.streams.MarkChanged(lock, *stream);
      if (held_) {
        OnTaken(lock);  // other tasks may have consumed the rows in between
      }
    }
  }
  [[nodiscard]] bool WantsTaken() const noexcept override { return held_; }
  void OnTaken(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    if (controller::Stream* const stream = StreamOf(lock, server_, partition_, incarnation_)) {
      stream->ReleaseRows(fetched_.rows);
      server_.streams.Evict(lock, *stream, fetched_.rows);
    }
  }

 private:
  Server& server_;
  std::string partition_;
  std::int64_t incarnation_;
  controller::Fetch fetch_;  // only the members that GiveBack() reads
  Fetched fetched_;
  bool held_;
};

// Errors: as ReplyInFormat.
Status Reply(Context& context, FetchArgs& args, FetchAnswer& answer) {
  const Fetched& fetched = answer.fetched;
  resp::Reply& reply = context.reply;
  const bool weights = args.fetch.sampler.row->returns_weights;
  std::size_t pairs = 4;
  for (const bool pair :
       {args.fetch.lease.has_value(), weights, args.format.Given(), fetched.end}) {
    pairs += pair ? 1 : 0;
  }
  reply.Map(pairs);
  reply.Bulk("rows");
  reply.Bulk(store::AsBytes(fetched.rows));
  reply.Bulk("keys");
  reply.Array(answer.keys.size());
  for (const Text& key : answer.keys) {
    reply.Bulk(key.View());
  }
  reply.Bulk("tags");
  reply.Array(answer.tags.size());
  for (const Text& tag : answer.tags) {
    reply.Bulk(tag.IsNull() ? "{}" : tag.View());
  }
  reply.Bulk("incarnation");
  reply.Integer(answer.incarnation);
  if (args.fetch.lease) {
    reply.Bulk("lease");
    if (fetched.lease != 0) {
      reply.Integer(fetched.lease);
    } else {
      reply.Null();
    }
  }
  if (weights) {
    reply.Bulk("weights");
    reply.Array(fetched.weights.size());
    for (const double weight : fetched.weights) {
      reply.Double(weight);
    }
  }
  if (fetched.end) {
    reply.Bulk("end");
    reply.Integer(1);
  }
  if (!args.format.Given()) {
    return {};
  }
  reply.Bulk("data");
  return ReplyInFormat(context, args.partition, args.format, answer.read);
}

}  // namespace

Result<Outcome> TryFetchNow(engine::EngineLock& lock, Server& server, controller::Stream& stream,
                            const FetchAttempt& attempt, FetchAnswer& answer) {
  const FetchArgs& args = attempt.args;
  answer.incarnation = stream.GetPartition().Incarnation();
  TRY_ASSIGN(const controller::Step* const known, stream.Tasks().KnownStep(args.fetch));
  if (known != nullptr) {  // if collecting fails, the lease of the step is unchanged
    answer.fetched.rows = known->rows;
    TRY(CollectAnswer(stream, args, answer));
  }
  TRY_ASSIGN(const Outcome outcome,
             stream.Tasks().TryFetch(
                 args.fetch, {.now_us = server.clock.NowUs(), .time_is_up = attempt.time_is_up},
                 answer.fetched));
  if (outcome != Outcome::kRows) {
    return outcome;
  }
  server.streams.MarkChanged(lock, stream);  // others may share the step or reach the end
  if (known != nullptr) {                    // the rows may have been leased until now
    HoldForReply(stream, args, answer);
    server.streams.EvictLetGo(lock, stream);
    return outcome;
  }
  try {
    HoldForReply(stream, args, answer);
    const Status status = CollectAnswer(stream, args, answer);
    if (!status.ok()) {
      GiveBackTo(lock, server, stream, args.fetch, answer);
      return status;
    }
  } catch (...) {
    GiveBackTo(lock, server, stream, args.fetch, answer);
    throw;
  }
  server.streams.EvictLetGo(lock, stream);
  return outcome;
}

Status CollectAnswer(controller::Stream& stream, const FetchArgs& args, FetchAnswer& answer) {
  store::Partition& partition = stream.GetPartition();
  const std::vector<RowIndex>& rows = answer.fetched.rows;
  answer.keys.reserve(rows.size());
  answer.tags.reserve(rows.size());
  // Rows of a large partition lie far apart: prefetch the memory of all rows at once, instead of
  // waiting for row, key and tag one after another.
  std::vector<const store::Row*> found;
  found.reserve(rows.size());
  for (const RowIndex index : rows) {
    partition.Prefetch(index);
  }
  for (const RowIndex index : rows) {
    found.push_back(partition.FindRow(index));
    found.back()->key.Prefetch();
    found.back()->tag.Prefetch();
  }
  for (const store::Row* const row : found) {
    answer.keys.push_back(row->key);
    answer.tags.push_back(row->tag);
  }
  if (!args.format.Given()) {
    return {};
  }
  const std::vector<std::string_view> fields(args.fetch.selection.fields.begin(),
                                             args.fetch.selection.fields.end());
  answer.read.Reset();
  return partition.Read(
      {.partition = args.partition,
       .rows = {.kind = store::RowSet::Kind::kIndexes, .keys = {}, .indexes = rows},
       .fields = rows.empty() ? std::span<const std::string_view>() : fields,
       .all_fields = false,
       .strict = args.format.Strict(),
       .keys = args.format.format == Format::kSafetensors},
      answer.read);
}

void HoldForReply(controller::Stream& stream, const FetchArgs& args, FetchAnswer& answer) {
  if (stream.GetPartition().Terms().autoevict && !args.fetch.lease && !args.fetch.keep) {
    try {
      stream.HoldRows(answer.fetched.rows);
    } catch (...) {
      stream.EvictLater();
      throw;
    }
    answer.held = true;
  }
}

void GiveBackTo(engine::EngineLock& lock, Server& server, controller::Stream& stream,
                const controller::Fetch& fetch, const FetchAnswer& answer) noexcept {
  if (answer.held) {
    stream.ReleaseRows(answer.fetched.rows);
  }
  stream.Tasks().GiveBack(fetch, answer.fetched);
  if (answer.new_task) {
    stream.Tasks().ForgetUnused(fetch.task);
  }
  server.streams.MarkChanged(lock, stream);
}

void GiveBack(engine::EngineLock& lock, Server& server, const FetchArgs& args,
              const FetchAnswer& answer) noexcept {
  if (controller::Stream* const stream =
          StreamOf(lock, server, args.partition, answer.incarnation)) {
    GiveBackTo(lock, server, *stream, args.fetch, answer);
    if (answer.held) {  // other tasks may have consumed the rows in between
      server.streams.Evict(lock, *stream, answer.fetched.rows);
    }
  }
}

Status DeliverAnswer(Context& context, FetchArgs& args, FetchAnswer& answer) {
  struct Guard {
    Context& context;
    const FetchArgs& args;
    const FetchAnswer* answer;
    ~Guard() {
      if (answer != nullptr) {
        GiveBack(context.turn.Enter(), context.server, args, *answer);
      }
    }
  } guard{context, args, &answer};
  std::unique_ptr<Delivery> delivery;
  if (!answer.fetched.rows.empty() && !args.fetch.keep) {
    delivery = std::make_unique<FetchDelivery>(context.server, args, answer);
    context.deliveries.reserve(context.deliveries.size() + 1);
  }
  TRY(Reply(context, args, answer));
  guard.answer = nullptr;
  if (delivery == nullptr) {
    return {};
  }
  // A small reply counts as taken, except in EXEC, where later commands may fail.
  const std::uint64_t waiting = context.reply.Appended() - context.reply.Consumed();
  if (delivery->WantsTaken() && !context.in_transaction && context.rest == nullptr &&
      waiting <= Delivery::kTakenBytes) {
    delivery->OnTaken(context.turn.Enter());
  } else {
    context.deliveries.push_back(std::move(delivery));
  }
  return {};
}

}  // namespace sluice::server
