// TASK.FETCH.
#include <array>
#include <new>
#include <utility>

#include "server/command_table.h"
#include "server/commands/task_args.h"
#include "store/partition.h"
#include "store/shape.h"

namespace sluice::server {
namespace {

using controller::Fetched;
using controller::Outcome;
using store::Status;

// What a fetch got, with all that its answer needs, as it was at that moment.
struct FetchAnswer {
  Fetched fetched;
  store::Revision made = 0;  // which partition of this name
  bool new_task = false;     // made for it
  bool autoevict = false;
  std::vector<store::Text> keys;
  std::vector<store::Text> tags;
  store::ReadResult read;
};

// It cannot be answered.
void GiveBackTo(engine::EngineLock& lock, Server& server, Stream& stream,
                const controller::Fetch& fetch, const FetchAnswer& answer) noexcept
    REQUIRES(engine::engine_role) {
  stream.Tasks().GiveBack(fetch, answer.fetched);
  if (answer.new_task) {
    stream.Tasks().ForgetUnused(fetch.task);
  }
  server.streams.MarkChanged(lock, stream);
}

void GiveBack(engine::EngineLock& lock, Server& server, const FetchArgs& args,
              const FetchAnswer& answer) noexcept REQUIRES(engine::engine_role) {
  if (Stream* const stream = StreamOf(lock, server, args.partition, answer.made)) {
    GiveBackTo(lock, server, *stream, args.fetch, answer);
  }
}

// Rows on their way to a client.
class FetchDelivery final : public Delivery {
 public:
  FetchDelivery(Server& server, const FetchArgs& args, const FetchAnswer& answer)
      : server_(server), partition_(args.partition), made_(answer.made), fetched_(answer.fetched) {
    fetch_.task = args.fetch.task;
    fetch_.step = args.fetch.step;
  }
  void GiveBack(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    if (Stream* const stream = StreamOf(lock, server_, partition_, made_)) {
      stream->Tasks().GiveBack(fetch_, fetched_);
      server_.streams.MarkChanged(lock, *stream);
    }
  }

 private:
  Server& server_;
  std::string partition_;
  store::Revision made_;
  controller::Fetch fetch_;  // of it what GiveBack() looks at
  Fetched fetched_;
};

// Keys, tags and values of what was fetched. Looks up no name: one whose time is up would go, and
// those that wait in it are being answered, maybe.
// Errors: kNoField, kNotReady (of a step that is repeated with other fields); std::bad_alloc.
Status Collect(Stream& stream, const FetchArgs& args, FetchAnswer& answer) {
  store::Partition& partition = stream.GetPartition();
  answer.autoevict = partition.Terms().autoevict;
  const std::vector<store::RowIndex>& rows = answer.fetched.rows;
  answer.keys.reserve(rows.size());
  answer.tags.reserve(rows.size());
  // Rows of a large partition lie far apart: their memory is fetched for all of them at once, or
  // the way from row to key and tag is waited for, one after another.
  std::vector<const store::Row*> found;
  found.reserve(rows.size());
  for (const store::RowIndex index : rows) {
    partition.Prefetch(index);
  }
  for (const store::RowIndex index : rows) {
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

// Errors: as ReplyInFormat.
Status Reply(Context& context, FetchArgs& args, FetchAnswer& answer) {
  const Fetched& fetched = answer.fetched;
  resp::Reply& reply = context.reply;
  const bool weights = args.fetch.sampler.row->needs_weight;
  std::size_t pairs = 3;
  for (const bool pair :
       {args.fetch.lease.has_value(), weights, args.format.Given(), fetched.end}) {
    pairs += pair ? 1 : 0;
  }
  reply.Map(pairs);
  reply.Bulk("rows");
  reply.Bulk(store::AsBytes(fetched.rows));
  reply.Bulk("keys");
  reply.Array(answer.keys.size());
  for (const store::Text& key : answer.keys) {
    reply.Bulk(key.View());
  }
  reply.Bulk("tags");
  reply.Array(answer.tags.size());
  for (const store::Text& tag : answer.tags) {
    reply.Bulk(tag.IsNull() ? "{}" : tag.View());
  }
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

// Answers; what cannot be answered, or is not sent, is given back.
Status Deliver(Context& context, FetchArgs& args, FetchAnswer& answer) {
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
  if (answer.autoevict && !args.fetch.lease && !args.fetch.keep) {  // they are gone for good
    engine::EngineLock& lock = context.turn.Enter();
    if (Stream* const stream = StreamOf(lock, context.server, args.partition, answer.made)) {
      context.server.streams.Evict(lock, *stream, answer.fetched.rows);
    }
  } else if (delivery != nullptr) {
    context.deliveries.push_back(std::move(delivery));
  }
  return {};
}

// Tries, with all of it: kRows: `answer` is complete. Errors: as Controller::TryFetch and Collect.
store::Result<Outcome> TryNow(engine::EngineLock& lock, Server& server, Stream& stream,
                              const FetchArgs& args, bool time_is_up, FetchAnswer& answer)
    REQUIRES(engine::engine_role) {
  answer.made = stream.GetPartition().Made();
  TRY_ASSIGN(const controller::Step* const known, stream.Tasks().KnownStep(args.fetch));
  if (known != nullptr) {  // where it cannot be answered, its lease stays as it is
    answer.fetched.rows = known->rows;
    TRY(Collect(stream, args, answer));
  }
  TRY_ASSIGN(
      const Outcome outcome,
      stream.Tasks().TryFetch(
          args.fetch, {.now_us = server.clock.NowUs(), .time_is_up = time_is_up}, answer.fetched));
  if (outcome != Outcome::kRows) {
    return outcome;
  }
  server.streams.MarkChanged(lock, stream);  // it may be the end for others, or they share its step
  if (known != nullptr) {
    return outcome;
  }
  try {
    const Status status = Collect(stream, args, answer);
    if (!status.ok()) {
      GiveBackTo(lock, server, stream, args.fetch, answer);
      return status;
    }
  } catch (...) {
    GiveBackTo(lock, server, stream, args.fetch, answer);
    throw;
  }
  return outcome;
}

// A fetch that waits, in line or for its partition.
class BlockedFetch final : public BlockedCommand, public StreamWaiter {
 public:
  BlockedFetch(engine::EngineLock& lock, Context& context, FetchArgs args)
      REQUIRES(engine::engine_role)
      : BlockedCommand(Kind::kCommand, DeadlineAfter(context.now_us, args.block.ms)),
        StreamWaiter(lock, context.server.streams, args.partition, args.fetch),
        server_(context.server),
        client_(context.client),
        args_(std::move(args)) {
    client_.notifier->Take();
  }

  void End(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    if (answered_ && outcome_.ok() && *outcome_ == Outcome::kRows) {
      GiveBack(lock, server_, args_, answer_);
    }
    Leave(lock);
  }

  // Errors: std::bad_alloc.
  void Begin(engine::EngineLock& lock) REQUIRES(engine::engine_role) {
    server_.streams.Wait(lock, *this);
  }

  bool IsGone() noexcept override { return client_.peer_gone(); }

  Status Prepare(std::span<const store::RowIndex> rows) override {
    answer_.fetched.rows.assign(rows.begin(), rows.end());
    prepared_ = true;
    return Collect(*stream, args_, answer_);
  }

  void Answer(store::Result<Outcome> outcome, Fetched fetched) noexcept override {
    answered_ = true;
    answer_.fetched = std::move(fetched);
    outcome_ = std::move(outcome);
    if (outcome_.ok() && *outcome_ == Outcome::kRows) {
      Keep();
    }
    client_.notifier->Notify();
  }

  store::Result<Next> Resume(Context& context, bool time_is_up) override {
    engine::EngineLock& lock = context.turn.Enter();
    if (!answered_ && time_is_up) {
      TimeIsUp(lock);
    }
    if (!answered_) {
      return Next::kWait;
    }
    TRY(outcome_.GetStatus());
    const bool rows = *outcome_ == Outcome::kRows;
    outcome_ = Outcome::kNil;  // what it got is Deliver()'s to give back
    if (!rows) {
      context.reply.NullArray();
      return Next::kAnswered;
    }
    TRY(Deliver(context, args_, answer_));
    return Next::kAnswered;
  }

 private:
  // What it got is pinned before anybody can change it. Called by the holder of the engine lock.
  void Keep() noexcept {
    Status status;
    try {
      answer_.made = stream->GetPartition().Made();
      status = prepared_ ? Status() : Collect(*stream, args_, answer_);
    } catch (const std::bad_alloc&) {
      status = store::OutOfMemory();
    }
    if (!status.ok()) {
      GiveBackTo(server_.engine.Held(), server_, *stream, args_.fetch, answer_);
      outcome_ = std::move(status);
    }
  }

  void TimeIsUp(engine::EngineLock& lock) REQUIRES(engine::engine_role) {
    Leave(lock);
    answered_ = true;
    outcome_ = Outcome::kNil;
    auto found = server_.store(lock).FindPartition(args_.partition);
    if (found.ok() && *found != nullptr) {
      outcome_ = TryNow(lock, server_, server_.streams.Of(lock, **found), args_, true, answer_);
    }
  }

  Server& server_;
  Client& client_;
  FetchArgs args_;
  bool answered_ = false;
  bool prepared_ = false;  // all of answer_ is there
  store::Result<Outcome> outcome_ = Outcome::kNil;
  FetchAnswer answer_;
};

void BlockFetch(engine::EngineLock& lock, Context& context, FetchArgs args)
    REQUIRES(engine::engine_role) {
  auto wait = std::make_unique<BlockedFetch>(lock, context, std::move(args));
  BlockedFetch& waiting = *wait;
  context.blocked = std::move(wait);
  waiting.Begin(lock);
}

// Where the partition exists. REQUIRES: StepTask() is done. Errors: as TryNow and Deliver.
Status FetchFrom(engine::EngineLock& lock, Context& context, Stream& stream, FetchArgs& fetch,
                 bool is_new) REQUIRES(engine::engine_role) {
  NewTask made(context, stream, fetch.fetch.task, is_new);
  FetchAnswer answer;
  std::vector<std::string> fields = fetch.fetch.selection.fields;
  const bool time_is_up = !fetch.block.given || !context.may_block;
  TRY_ASSIGN(const Outcome outcome,
             TryNow(lock, context.server, stream, fetch, time_is_up, answer));
  stream.Tasks().FindTask(fetch.fetch.task)->last_fields = std::move(fields);
  if (outcome == Outcome::kWait) {
    BlockFetch(lock, context, fetch);
    made.Keep();
    return {};
  }
  answer.new_task = made.Keep();
  if (outcome == Outcome::kRows) {
    return Deliver(context, fetch, answer);
  }
  context.reply.NullArray();
  return {};
}

// TASK.FETCH partition task FIELDS list COUNT n [MIN m] [SAMPLER name [option value ...]]
//            [WHERE ...] [RANK r STEP s] [BLOCK ms] [LEASE ms [BOUND]] [KEEP] [FORMAT ...] [PAD
//            ...] [DICT]
Status TaskFetch(Context& context, ArgReader& args) {
  FetchArgs fetch;
  ReadFetch(context, args, fetch);
  TRY(args.Finish());

  const StepWanted wanted = {
      .task = fetch.fetch.task, .selection = &fetch.fetch.selection, .fetch = &fetch.fetch};
  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(store::Partition * partition,
             context.server.store(lock).FindPartition(fetch.partition));
  for (bool is_new = false; partition != nullptr;) {
    Stream& stream = context.server.streams.Of(lock, *partition);
    TRY_ASSIGN(const bool more, StepTask(context, stream, wanted, is_new));
    if (!more) {
      return FetchFrom(lock, context, stream, fetch, is_new);
    }
    LeaveFor(context, stream);
    TRY_ASSIGN(partition,
               context.server.store(context.turn.Enter()).FindPartition(fetch.partition));
  }
  if (!fetch.block.given || !context.may_block) {
    context.reply.NullArray();
    return {};
  }
  BlockFetch(lock, context, std::move(fetch));
  return {};
}

constexpr std::array kCommands = {
    Row({.name = "task.fetch",
         .arity = -8,
         .flags = kWrite | kBlocking,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = TaskFetch,
         .group = "task",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of rows taken; the first time for these fields, "
                       "that of the rows that there are",
         .summary = "Takes the next rows that are ready for a task, or waits for them.",
         .args = kFetchArgs}),
};

}  // namespace

std::span<const Command> TaskFetchCommands() {
  return kCommands;
}

}  // namespace sluice::server
