#include "server/commands/task/blocked_fetch.h"

#include <memory>
#include <new>
#include <span>
#include <utility>

#include "server/commands/task/task_fetch_answer.h"

namespace sluice::server {
namespace {

using controller::Fetched;
using controller::Outcome;

// A fetch that waits in a wait queue, or for its partition to be created.
class BlockedFetch final : public BlockedCommand, public controller::StreamWaiter {
 public:
  BlockedFetch(engine::EngineLock& lock, Context& context, FetchArgs args)
      REQUIRES(engine::engine_role)
      : BlockedCommand(Kind::kCommand, DeadlineAfter(context.now_us, args.block.ms)),
        StreamWaiter(lock, context.server.streams, args.partition, args.fetch),
        server_(context.server),
        connection_(context.connection),
        args_(std::move(args)) {
    connection_.notifier->Take();
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

  bool IsGone() noexcept override { return connection_.peer_gone(); }

  Status Prepare(std::span<const RowIndex> rows) override {
    answer_.fetched.rows.assign(rows.begin(), rows.end());
    prepared_ = true;
    return CollectAnswer(*stream, args_, answer_);
  }

  void Answer(Result<Outcome> outcome, Fetched fetched) noexcept override {
    answered_ = true;
    answer_.fetched = std::move(fetched);
    outcome_ = std::move(outcome);
    if (outcome_.ok() && *outcome_ == Outcome::kRows) {
      Keep();
    }
    connection_.notifier->Notify();
  }

  Result<Next> Resume(Context& context, bool time_is_up) override {
    context.turn.Enter();
    if (!answered_ && time_is_up) {
      TimeIsUp(context);
    }
    if (!answered_) {
      return Next::kWait;
    }
    TRY(outcome_.GetStatus());
    const bool rows = *outcome_ == Outcome::kRows;
    outcome_ = Outcome::kNil;  // from now on DeliverAnswer() gives the rows back
    if (!rows) {
      context.reply.NullArray();
      return Next::kAnswered;
    }
    TRY(DeliverAnswer(context, args_, answer_));
    return Next::kAnswered;
  }

 private:
  // Pins the fetched data before other commands can change it. REQUIRES: the engine lock is held.
  void Keep() noexcept {
    Status status;
    try {
      answer_.incarnation = stream->GetPartition().Incarnation();
      HoldForReply(*stream, args_, answer_);
      status = prepared_ ? Status() : CollectAnswer(*stream, args_, answer_);
    } catch (const std::bad_alloc&) {
      status = store::OutOfMemory();
    }
    if (!status.ok()) {
      GiveBackTo(server_.engine.Held(), server_, *stream, args_.fetch, answer_);
      outcome_ = std::move(status);
    }
  }

  // Fetches the rows that are available, but none during CLIENT PAUSE. Rows that the task must
  // examine again after TASK.RESET are examined in steps.
  void TimeIsUp(Context& context) {
    Leave(context.turn.Enter());
    answered_ = true;
    outcome_ = Outcome::kNil;
    if (server_.pause.On(context.now_us)) {
      return;
    }
    for (;;) {
      engine::EngineLock& lock = context.turn.Enter();
      auto found = server_.store(lock).FindPartition(args_.partition);
      if (!found.ok() || *found == nullptr) {
        return;
      }
      controller::Stream& now = server_.streams.Of(lock, **found);
      controller::Task* const task = now.Tasks().FindTask(args_.fetch.task);
      if (task == nullptr || !now.Tasks().Samples(args_.fetch) ||
          !now.Tasks().Prepare(*task, args_.fetch.selection, &args_.fetch.sampler)) {
        outcome_ = TryFetchNow(lock, server_, now, {.args = args_, .time_is_up = true}, answer_);
        return;
      }
      LeaveFor(context, now);
    }
  }

  Server& server_;
  ConnectionInfo& connection_;
  FetchArgs args_;
  bool answered_ = false;
  bool prepared_ = false;  // answer_ is complete
  Result<Outcome> outcome_ = Outcome::kNil;
  FetchAnswer answer_;
};

}  // namespace

void BlockFetch(engine::EngineLock& lock, Context& context, FetchArgs args) {
  auto wait = std::make_unique<BlockedFetch>(lock, context, std::move(args));
  BlockedFetch& waiting = *wait;
  context.blocked = std::move(wait);
  waiting.Begin(lock);
}

}  // namespace sluice::server
