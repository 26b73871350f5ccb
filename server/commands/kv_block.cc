#include "server/commands/kv_block.h"

#include <utility>

#include "server/command_table.h"
#include "server/dispatch.h"

namespace sluice::server {
namespace {

using store::Code;
using store::Status;

constexpr std::int64_t kMillisecondUs = 1000;

// There may be room for it later.
bool MayWait(const Context& context, const Status& status) {
  return status.GetCode() == Code::kOom ||
         (status.GetCode() == Code::kFull && !context.scratch.write.wants.never_fits);
}

// A write that was refused with OOM or FULL, and is run again whenever there may be room.
class BlockedWrite final : public Parked {
 public:
  BlockedWrite(Context& context, std::int64_t deadline_us, Code refused)
      : Parked(deadline_us),
        server_(context.server),
        handler_(ResolveCommand(context.request)->handler),
        request_(context.request) {
    writer_.waker = context.client.waker;
    writer_.waker->Take();
    Queue(context, refused);
  }
  ~BlockedWrite() override {
    Engine::Turn turn(server_.engine, server_.clock);
    turn.Enter();
    LeavePartition();
  }

  store::Result<bool> Resume(Context& context, bool time_is_up) override {
    context.request = request_.Args();
    context.may_park = false;
    ArgReader args(context.request.subspan(1));
    const Status status = handler_(context, args);
    if (status.ok()) {
      return true;
    }
    if (time_is_up || !MayWait(context, status)) {
      return status;
    }
    Queue(context, status.GetCode());
    return false;
  }

 private:
  // In the queue for memory, or in that for room in the partition.
  void Queue(Context& context, Code refused) {
    if (refused == Code::kOom) {
      LeavePartition();
      if (ticket_ != nullptr) {
        ticket_->Refused();
      } else {
        const auto need = static_cast<std::int64_t>(request_.TextBytes());  // blobs are here
        ticket_ = server_.room.Join(need, writer_.waker);
      }
      return;
    }
    ticket_ = nullptr;
    context.turn.Enter();
    if (place_ == nullptr) {
      place_ = &server_.streams.Hold(request_.Args()[1].text);
    }
    writer_.wants = context.scratch.write.wants;
    const bool one_row = !EqualsIgnoreCase(request_.Args()[0].text, "kv.mput");
    writer_.key = one_row ? request_.Args()[2].text : std::string_view();
    server_.streams.WaitForRoom(*place_, writer_);
  }
  // REQUIRES: the engine, where it waits for the partition.
  void LeavePartition() noexcept {
    if (place_ != nullptr) {
      server_.streams.LeaveRoom(*place_, writer_);
      server_.streams.LetGo(*std::exchange(place_, nullptr));
    }
  }

  Server& server_;
  Handler handler_;
  KeptRequest request_;
  std::unique_ptr<RoomQueue::Ticket> ticket_;
  Streams::Place* place_ = nullptr;
  FullWriter writer_;
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
  const std::int64_t room = (Parked::kNever - now_us) / kMillisecondUs;
  return ms == 0 || ms >= room ? Parked::kNever : now_us + ms * kMillisecondUs;
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
  context.turn.Enter();
  Server& server = context.server;
  store::WriteResult& result = context.scratch.write;
  TRY(server.store.Write(request, result));
  if (server.row_waiters.Any(request.partition)) {
    for (const store::RowIndex index : result.indexes) {
      const store::Text key = server.store.KeyOf(request.partition, index);
      server.row_waiters.RowChanged(request.partition, key.View(), index);
    }
  }
  return {};
}

Status OrWait(Context& context, const Block& block, Status status) {
  if (!block.given || !context.may_park || !MayWait(context, status)) {
    return status;
  }
  const Code refused = status.GetCode();
  if (refused == Code::kOom) {
    context.turn.Leave();
  }
  context.parked =
      std::make_unique<BlockedWrite>(context, DeadlineAfter(context.now_us, block.ms), refused);
  return {};
}

}  // namespace sluice::server
