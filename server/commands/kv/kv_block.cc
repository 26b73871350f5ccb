#include "server/commands/kv/kv_block.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "base/ascii.h"
#include "base/hash.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "store/partition/partition.h"

namespace sluice::server {
namespace {

constexpr std::int64_t kMillisecondUs = 1000;

// Returns whether the write may succeed later.
bool MayWait(const Context& context, const Status& status) {
  const std::int64_t limit = context.server.memory.GetBudget().Limit();
  return (status.GetCode() == Code::kOom && store::Budget::NeedOfAttempt() <= limit) ||
         (status.GetCode() == Code::kFull && !context.scratch.write.wants.never_fits);
}

// A write that failed with OOM or FULL. It is run again whenever there may be space.
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
        keys_(0, TextHash{context.server.seed}),
        unpause_(*notifier_) {
    ReadKeys();
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
  // Makes the connection resume when CLIENT PAUSE is over. During the pause the write keeps its
  // position in the wait queue.
  class Unpause final : public engine::Waiter {
   public:
    explicit Unpause(engine::Notifier& notifier) : notifier_(notifier) {}
    void OnServed(engine::EngineLock& /*lock*/) noexcept override REQUIRES(engine::engine_role) {
      notifier_.Notify();
    }

   private:
    engine::Notifier& notifier_;
  };

  // Holds all queues that the write may wait in, so that changing queues cannot fail.
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

  // Returns whether CLIENT PAUSE delays the write.
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

  // Waits in the queue for memory or in the queue for the limits of the partition.
  void Wait(engine::EngineLock& lock, const Context& context, Status refused)
      REQUIRES(engine::engine_role) {
    refused_ = std::move(refused);
    engine::WaitQueue& queue = refused_.GetCode() == Code::kOom ? *memory_ : *limits_;
    Need need;
    if (&queue == memory_) {  // at least 1: no write may begin while all memory is used
      need.bytes = std::max<std::int64_t>(1, store::Budget::NeedOfAttempt());
    } else {
      const store::WriteResult::Wants& wants = context.scratch.write.wants;
      need = {.rows = wants.rows, .bytes = wants.bytes, .alone = wants.alone};
      static_cast<void>(RowsWereWritten(lock));
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

  // If another command wrote rows of this write, it may not need space any more.
  Need CurrentNeed(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    return waits_in_ == limits_ && RowsWereWritten(lock) ? Need() : Waiter::CurrentNeed(lock);
  }

  // The keys of KV.MPUT KEYS; empty for another command.
  void ReadKeys() {
    const RequestView args = request_.Args();
    if (command_.name != "kv.mput" || !EqualsIgnoreCase(args[2].text, "KEYS")) {
      return;
    }
    std::vector<std::string_view> keys;
    ArgReader reader(args.subspan(3));
    reader.List("KEYS", keys);
    keys_.insert(keys.begin(), keys.end());
  }

  // Returns true if others wrote rows of this write since the last call. For many keys it looks at
  // the rows that were made since then.
  bool RowsWereWritten(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) {
    constexpr RowIndex kRowsMax = 256;
    const auto found = server_.store(lock).FindPartition(Partition());
    if (!found.ok() || *found == nullptr) {
      return false;
    }
    store::Partition& partition = **found;
    if (!keys_.empty()) {
      const bool same =
          std::exchange(incarnation_, partition.Incarnation()) == partition.Incarnation();
      const RowIndex from = std::exchange(next_index_, partition.NextIndex());
      bool written = !same || next_index_ - from > kRowsMax;
      for (RowIndex index = from; !written && index < next_index_; ++index) {
        const store::Row* const row = partition.FindRow(index);
        written = row != nullptr && keys_.contains(row->key.View());
      }
      return written;
    }
    if (command_.name == "kv.mput") {
      return false;
    }
    const store::RowReference row = partition.Locate(request_.Args()[2].text);
    const Revision now = row.segment == nullptr ? 0 : row.segment->At(row.offset).revision;
    return std::exchange(revision_, now) != now;
  }
  [[nodiscard]] std::string_view Partition() const { return request_.Args()[1].text; }

  Server& server_;
  const Command& command_;
  std::shared_ptr<engine::Notifier> notifier_;
  KeptRequest request_;
  Status refused_;  // the reply if the time is up during a pause
  engine::WaitQueue* memory_ = nullptr;
  engine::WaitQueue* limits_ = nullptr;
  engine::WaitQueue* unpauses_ = nullptr;
  engine::WaitQueue* waits_in_ = nullptr;
  // As RowsWereWritten() saw them last.
  std::int64_t incarnation_ = 0;  // of the partition
  RowIndex next_index_ = 0;       // of the partition
  Revision revision_ = 0;         // of the only row
  std::int64_t paused_until_us_ = kNever;
  boost::unordered_flat_set<std::string_view, TextHash>
      keys_;  // of KV.MPUT KEYS; views of request_
  Unpause unpause_;
};

// Returns the position at which BLOCK or RETURN may follow the rows; 0 if it is not known yet.
std::size_t BlockPosition(const Command& command, std::span<const resp::Argument> head) {
  if (command.name != "kv.mput") {
    return 3;
  }
  if (head.size() < 4) {
    return 0;
  }
  const bool by_keys = EqualsIgnoreCase(head[2].text, "KEYS");
  if (!by_keys) {
    const bool of = head.size() > 4 && EqualsIgnoreCase(head[4].text, "OF");
    return of ? 6 : 4;
  }
  if (EqualsIgnoreCase(head[3].text, "LINES")) {
    return 5;
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
