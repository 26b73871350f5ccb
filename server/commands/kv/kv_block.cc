#include "server/commands/kv/kv_block.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "store/partition/partition.h"

namespace sluice::server {
namespace {

constexpr std::int64_t kMillisecondUs = 1000;

// There may be room for it later.
bool MayWait(const Context& context, const Status& status) {
  const std::int64_t limit = context.server.memory.GetBudget().Limit();
  return (status.GetCode() == Code::kOom && store::Budget::NeedOfAttempt() <= limit) ||
         (status.GetCode() == Code::kFull && !context.scratch.write.wants.never_fits);
}

// A write that was refused with OOM or FULL, and is run again whenever there may be room.
class BlockedWrite final : public BlockedCommand, private engine::Waiter {
 public:
  using Kind = engine::WaitKey::Kind;

  // Errors: std::bad_alloc.
  BlockedWrite(Context& context, std::int64_t deadline_us, Status refused)
      : BlockedCommand(BlockedCommand::Kind::kCommand, deadline_us),
        server_(context.server),
        command_(*ResolveCommand(context.request)),
        notifier_(context.connection.notifier),
        request_(context.request),
        unpause_(*notifier_) {
    notifier_->Take();
    engine::EngineLock& lock = context.turn.Enter();
    HoldQueues(lock);
    Wait(lock, context, std::move(refused));
  }

  void End(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    server_.wait_queues.Leave(lock, *this);
    server_.wait_queues.Leave(lock, unpause_);
    for (engine::WaitQueue* const queue : {memory_, limits_, unpauses_}) {
      server_.wait_queues.Release(lock, *queue);
    }
  }

  [[nodiscard]] std::int64_t ResumeUs() const override {
    return std::min(DeadlineUs(), paused_until_us_);
  }

  Result<Next> Resume(Context& context, bool time_is_up) override {
    if (HeldBack(context)) {
      return time_is_up ? Result<Next>(refused_) : Next::kWait;
    }
    context.request = request_.Args();
    context.may_block = false;
    store::Budget::BeginAttempt();
    ArgReader args(context.request.subspan(1));
    Status status = command_.handler(context, args);
    if (status.ok()) {
      return Next::kAnswered;
    }
    if (time_is_up || !MayWait(context, status)) {
      return status;
    }
    Wait(context.turn.Enter(), context, std::move(status));
    return Next::kWait;
  }

 private:
  // Makes its connection resume when CLIENT PAUSE is over. It keeps its place in line meanwhile.
  class Unpause final : public engine::Waiter {
   public:
    explicit Unpause(engine::Notifier& notifier) : notifier_(notifier) {}
    void OnServed(engine::EngineLock& /*lock*/) noexcept override REQUIRES(engine::engine_role) {
      notifier_.Notify();
    }

   private:
    engine::Notifier& notifier_;
  };

  // All that it may ever wait in, so that going from one to another cannot fail.
  void HoldQueues(engine::EngineLock& lock) REQUIRES(engine::engine_role) {
    engine::WaitQueues& queues = server_.wait_queues;
    memory_ = &queues.Hold(lock, {.kind = Kind::kMemory});
    try {
      limits_ = &queues.Hold(lock, {.kind = Kind::kLimits, .partition = Partition()});
      unpauses_ = &queues.Hold(lock, {.kind = Kind::kUnpause});
    } catch (...) {
      queues.Release(lock, *memory_);
      if (limits_ != nullptr) {
        queues.Release(lock, *limits_);
      }
      throw;
    }
  }

  // CLIENT PAUSE holds it back.
  bool HeldBack(Context& context) {
    engine::WaitQueues& queues = server_.wait_queues;
    engine::EngineLock& lock = context.turn.Enter();
    const std::int64_t until_us = server_.pause.until_us.load(std::memory_order_relaxed);
    if (until_us <= context.now_us) {
      paused_until_us_ = kNever;
      queues.Leave(lock, unpause_);
      return false;
    }
    paused_until_us_ = until_us;
    if (!unpause_.Waits()) {
      queues.Join(lock, *unpauses_, unpause_);
    }
    return true;
  }

  // In the queue for memory, or in that for the partition's limits.
  void Wait(engine::EngineLock& lock, const Context& context, Status refused)
      REQUIRES(engine::engine_role) {
    refused_ = std::move(refused);
    engine::WaitQueue& queue = refused_.GetCode() == Code::kOom ? *memory_ : *limits_;
    Need need;
    if (&queue == memory_) {  // more than nothing: no write may begin where all is taken
      need.bytes = std::max<std::int64_t>(1, store::Budget::NeedOfAttempt());
    } else {
      need = {.rows = context.scratch.write.wants.rows, .bytes = context.scratch.write.wants.bytes};
      seen_ = StateOfRows(lock);
    }
    if (waits_in_ == &queue) {
      server_.wait_queues.Refused(lock, *this, need);
    } else {
      server_.wait_queues.Leave(lock, *this);
      server_.wait_queues.Join(lock, queue, *this, need);
      waits_in_ = &queue;
    }
  }

  void OnServed(engine::EngineLock& /*lock*/) noexcept override REQUIRES(engine::engine_role) {
    notifier_->Notify();
  }

  // Where others made or wrote rows that it writes, it may need nothing any more.
  Need CurrentNeed(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    if (waits_in_ == limits_) {
      const std::uint64_t state = StateOfRows(lock);
      if (state != seen_) {
        seen_ = state;
        return {};
      }
    }
    return Waiter::CurrentNeed(lock);
  }

  // Changes whenever the rows that it writes may have changed: of one row its revision; of many,
  // the number of rows ever made or, where their bytes count, the revision of the store.
  std::uint64_t StateOfRows(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) {
    store::Store& store = server_.store(lock);
    const auto found = store.FindPartition(Partition());
    if (!found.ok() || *found == nullptr) {
      return 0;
    }
    if (command_.name == "kv.mput") {
      return (*found)->Terms().bytes_max ? store.LastRevision()
                                         : static_cast<std::uint64_t>((*found)->RowsMade());
    }
    const store::RowReference place = (*found)->Locate(request_.Args()[2].text);
    return place.segment == nullptr ? 0 : place.segment->At(place.offset).revision;
  }
  [[nodiscard]] std::string_view Partition() const { return request_.Args()[1].text; }

  Server& server_;
  const Command& command_;
  std::shared_ptr<engine::Notifier> notifier_;
  KeptRequest request_;
  Status refused_;  // what it is answered if its time is up while it is paused
  engine::WaitQueue* memory_ = nullptr;
  engine::WaitQueue* limits_ = nullptr;
  engine::WaitQueue* unpauses_ = nullptr;
  engine::WaitQueue* waits_in_ = nullptr;
  std::uint64_t seen_ = 0;  // StateOfRows()
  std::int64_t paused_until_us_ = kNever;
  Unpause unpause_;
};

// Where BLOCK would stand: right behind the rows, or behind a RETURN there. 0: not to be seen yet.
std::size_t BlockPosition(const Command& command, std::span<const resp::Argument> head) {
  if (command.name != "kv.mput") {
    return 3;
  }
  if (head.size() < 4) {
    return 0;
  }
  const bool by_keys = EqualsIgnoreCase(head[2].text, "KEYS");
  if (!by_keys || EqualsIgnoreCase(head[3].text, "LINES")) {
    return by_keys ? 5 : 4;
  }
  std::int64_t keys = 0;
  const bool valid =
      ParseInteger(head[3].text, keys) && keys > 0 && keys < static_cast<std::int64_t>(head.size());
  return valid ? 4 + static_cast<std::size_t>(keys) : 0;
}

}  // namespace

std::int64_t ReadMilliseconds(ArgReader& args) {
  std::int64_t ms = 0;
  const std::string_view text = args.Word("a number of milliseconds");
  if (args.ok() && !ParseInteger(text, ms)) {
    args.Fail(Status(Code::kError, "timeout is not an integer or out of range"));
  } else if (ms < 0) {
    args.Fail(Status(Code::kError, "timeout is negative"));
  }
  return ms;
}

bool ReadBlock(ArgReader& args, Block& block) {
  if (!args.Option("BLOCK")) {
    return false;
  }
  if (block.given) {
    args.Fail(Status(Code::kError, "syntax error: BLOCK is given twice"));
  }
  block = {.given = true, .ms = ReadMilliseconds(args)};
  return true;
}

std::int64_t DeadlineAfter(std::int64_t now_us, std::int64_t ms) {
  const std::int64_t space = (BlockedCommand::kNever - now_us) / kMillisecondUs;
  return ms == 0 || ms >= space ? BlockedCommand::kNever : now_us + ms * kMillisecondUs;
}

std::optional<std::int64_t> BlockOf(const Command& command, std::span<const resp::Argument> head) {
  if ((command.flags & kBlocking) == 0 || (command.flags & kWrite) == 0) {
    return std::nullopt;
  }
  std::size_t at = BlockPosition(command, head);
  std::int64_t ms = 0;
  at += at != 0 && at < head.size() && EqualsIgnoreCase(head[at].text, "RETURN") ? 2 : 0;
  const bool there = at != 0 && at + 1 < head.size() && EqualsIgnoreCase(head[at].text, "BLOCK") &&
                     ParseInteger(head[at + 1].text, ms) && ms >= 0;
  return there ? std::optional(ms) : std::nullopt;
}

Status WriteRows(Context& context, const store::WriteRequest& request) {
  TRY(CheckMemory(context));
  return context.server.store(context.turn.Enter()).Write(request, context.scratch.write);
}

Status OrWait(Context& context, const Block& block, Status status) {
  if (!block.given || !context.may_block || !MayWait(context, status)) {
    return status;
  }
  context.blocked = std::make_unique<BlockedWrite>(context, DeadlineAfter(context.now_us, block.ms),
                                                   std::move(status));
  return {};
}

}  // namespace sluice::server
