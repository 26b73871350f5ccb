// The blocked command of a connection: one path for notifications, its deadline, CLIENT UNBLOCK,
// CLIENT PAUSE, a closed peer, and server shutdown. Also the deliveries of replies.
#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "server/commands/kv/kv_block.h"
#include "server/connection/connection.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/observe.h"

namespace sluice::server {
namespace {

using engine::Engine;
using engine::EngineLock;
using engine::WaitKey;

// A large argument whose bytes are not read before there is memory for them.
class Upload final : public BlockedCommand, private engine::Waiter {
 public:
  struct Request {
    std::string_view partition;  // what it writes to
    std::int64_t deadline_us = 0;
  };
  struct Attempts {
    std::function<bool()> try_again;  // there is memory for it now
    std::function<void()> give_up;    // its bytes will be discarded
  };

  // Errors: std::bad_alloc.
  Upload(EngineLock& lock, Server& server, ConnectionInfo& info, const Request& request,
         Attempts attempts) REQUIRES(engine::engine_role)
      : BlockedCommand(Kind::kUpload, request.deadline_us),
        server_(server),
        notifier_(info.notifier),
        attempts_(std::move(attempts)),
        queue_(server.wait_queues.Hold(lock, {.kind = WaitKey::Kind::kMemory})) {
    try {
      limits_ = &server_.wait_queues.Hold(
          lock, {.kind = WaitKey::Kind::kLimits, .partition = request.partition});
    } catch (...) {
      server_.wait_queues.Release(lock, queue_);
      throw;
    }
    notifier_->Take();
    server_.wait_queues.Join(lock, queue_, *this, NeedNow());
  }
  void End(EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    server_.wait_queues.Leave(lock, *this);
    server_.wait_queues.Release(lock, queue_);
    server_.wait_queues.Release(lock, *limits_);
  }
  Result<Next> Resume(Context& context, bool time_is_up) override {
    store::Budget::BeginAttempt();
    if (attempts_.try_again()) {
      return Next::kGoOn;
    }
    const bool fits = store::Budget::NeedOfAttempt() <= server_.memory.GetBudget().Limit();
    if (time_is_up || !fits) {  // maxmemory may have been lowered
      attempts_.give_up();
      return Next::kGoOn;
    }
    server_.wait_queues.Refused(context.turn.Enter(), *this, NeedNow());
    return Next::kWait;
  }

 private:
  static Need NeedNow() {
    return {.rows = 0, .bytes = std::max<std::int64_t>(1, store::Budget::NeedOfAttempt())};
  }
  void OnServed(EngineLock& /*lock*/) noexcept override REQUIRES(engine::engine_role) {
    notifier_->Notify();
  }

  Server& server_;
  std::shared_ptr<engine::Notifier> notifier_;
  Attempts attempts_;
  engine::WaitQueue& queue_;
  engine::WaitQueue* limits_ = nullptr;  // held so that the partition is in use; never joined
};

// A request that CLIENT PAUSE holds back.
class PausedRequest final : public BlockedCommand, private engine::Waiter {
 public:
  // Errors: std::bad_alloc.
  PausedRequest(EngineLock& lock, Server& server, ConnectionInfo& info, std::int64_t until_us)
      REQUIRES(engine::engine_role)
      : BlockedCommand(Kind::kPause, until_us),
        server_(server),
        notifier_(info.notifier),
        queue_(server.wait_queues.Hold(lock, {.kind = WaitKey::Kind::kUnpause})) {
    notifier_->Take();
    server_.wait_queues.Join(lock, queue_, *this);
  }
  void End(EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    server_.wait_queues.Leave(lock, *this);
    server_.wait_queues.Release(lock, queue_);
  }
  // The connection checks whether it must wait again.
  Result<Next> Resume(Context& /*context*/, bool /*time_is_up*/) override { return Next::kGoOn; }

 private:
  void OnServed(EngineLock& /*lock*/) noexcept override REQUIRES(engine::engine_role) {
    notifier_->Notify();
  }

  Server& server_;
  std::shared_ptr<engine::Notifier> notifier_;
  engine::WaitQueue& queue_;
};

}  // namespace

std::int64_t Connection::ResumeUs() const {
  return blocked_->ResumeUs();
}

// Returns true if no command is blocked any more.
bool Connection::ResumeBlocked(Engine::Turn& turn) {
  if (!Blocked()) {
    return true;
  }
  const bool notified = info_.notifier->Take();
  if (!notified && now_us_ < ResumeUs()) {
    return false;
  }
  if (info_.peer_gone()) {  // it writes nothing, and gets nothing that other waiters could get
    closing_ = true;        // earlier replies are still sent
    EndBlocked(turn);
    return false;
  }
  const auto kind = blocked_->GetKind();
  Unblock unblock = info_.unblock.exchange(Unblock::kNo);
  if (kind == BlockedCommand::Kind::kPause) {
    unblock = Unblock::kNo;
  }
  if (unblock == Unblock::kError) {
    UnblockWithError(turn);
    return true;
  }
  handovers_.Reserve(1);  // a reply that hands something over must not fail afterwards
  Context context = MakeContext(turn);
  const resp::Reply::Mark mark = reply_.Prepare();
  const std::int64_t resumed_us = now_us_;
  const std::int64_t before_us = blocked_->worked_us;
  const bool time_is_up = unblock != Unblock::kNo || now_us_ >= blocked_->DeadlineUs();
  const auto next = ResumeCommand(context, *blocked_, time_is_up);
  now_us_ = context.now_us;
  if (next == BlockedCommand::Next::kWait) {
    return false;
  }
  EndBlocked(turn);
  if (next == BlockedCommand::Next::kAnswered && kind == BlockedCommand::Kind::kCommand) {
    ObserveBlocked(context, {.before_us = before_us,
                             .blocked_us = resumed_us - blocked_at_us_,
                             .worked_us = now_us_ - resumed_us});
    KeepWhatWaits(context);
    if (muted_) {
      reply_.Rewind(mark);
    }
  } else if (kind == BlockedCommand::Kind::kPause) {
    ready_ = true;  // it runs or waits again, like a request that was just received
  }
  return !Blocked() && rest_ == nullptr && !closing_;
}

void Connection::UnblockWithError(Engine::Turn& turn) {
  Status error(Code::kUnblocked, "client unblocked via CLIENT UNBLOCK");
  const bool upload = BlockedUpload();
  EndBlocked(turn);
  if (upload) {
    DrainBulk(std::move(error));  // the error is sent once the whole request was received
    return;
  }
  const resp::Reply::Mark mark = reply_.Prepare();
  reply_.Error("UNBLOCKED " + error.Message());
  if (muted_) {
    reply_.Rewind(mark);
  }
}

void Connection::EndBlocked(Engine::Turn& turn) noexcept {
  if (blocked_ != nullptr) {
    blocked_->End(turn.Enter());
    blocked_ = nullptr;
  }
}

void Connection::NoteBlocked() noexcept {
  const bool blocked = Blocked();
  info_.paused = blocked && blocked_->GetKind() == BlockedCommand::Kind::kPause;
  if (blocked != info_.blocked) {
    info_.blocked = blocked;
    server_.blocked_clients.fetch_add(blocked ? 1 : -1, std::memory_order_relaxed);
  }
}

void Connection::StopWaiting() noexcept {
  Engine::Turn turn(server_.engine, server_.clock);
  EndBlocked(turn);
  NoteBlocked();
}

void Connection::Abandon() noexcept {
  StopWaiting();
  if (handovers_.empty() && deliveries_.empty()) {
    return;
  }
  Engine::Turn turn(server_.engine, server_.clock);
  EngineLock& lock = turn.Enter();
  for (const auto& delivery : deliveries_) {
    delivery->GiveBack(lock);
  }
  deliveries_.clear();
  for (; !handovers_.empty(); handovers_.PopBack()) {
    handovers_.Back().delivery->GiveBack(lock);
  }
  wanting_taken_ = 0;
}

// Call it when the reply is complete.
void Connection::NoteHandovers(Engine::Turn& turn) {
  if (rest_ != nullptr || deliveries_.empty()) {
    return;
  }
  handovers_.Reserve(deliveries_.size());
  const std::uint64_t end = reply_.Appended();
  const bool nothing_to_send = muted_ || end <= reply_.Consumed();  // the delivery is complete
  const bool taken = nothing_to_send || end <= reply_.Consumed() + Delivery::kTakenBytes;
  for (auto& delivery : deliveries_) {  // first the deliveries that end before the reply
    if (!delivery->WantsTaken()) {
      continue;
    }
    if (taken) {
      delivery->OnTaken(turn.Enter());
    } else {
      handovers_.PushBack({.end = end - Delivery::kTakenBytes, .delivery = std::move(delivery)});
      ++wanting_taken_;
    }
    delivery = nullptr;
  }
  for (auto& delivery : deliveries_) {
    if (delivery != nullptr && !nothing_to_send) {
      handovers_.PushBack({.end = end, .delivery = std::move(delivery)});
    }
  }
  deliveries_.clear();
}

// Returns true if CLIENT PAUSE holds the request back; the request stays in the parser.
bool Connection::WaitsForUnpause(Engine::Turn& turn) {
  if (!server_.pause.On(now_us_)) {
    return false;
  }
  std::array<RequestArg, 2> head;
  const std::span<const resp::Argument> args = parser_.Args();
  const std::size_t known = std::min(args.size(), head.size());
  for (std::size_t i = 0; i < known; ++i) {
    head.at(i).text = args[i].text;
  }
  const Command* const command = ResolveCommand(std::span(head).first(known));
  if (command == nullptr || !Pausable(*command, info_, server_.pause.writes_only)) {
    return false;
  }
  if (!drained_.ok() || !CheckCommand(MakeContext(turn), *command, args.size()).ok()) {
    return false;  // it gets its error now
  }
  EngineLock& lock = turn.Enter();
  const std::int64_t until_us = server_.pause.until_us.load(std::memory_order_relaxed);
  if (until_us <= now_us_) {
    return false;
  }
  blocked_ = std::make_unique<PausedRequest>(lock, server_, info_, until_us);
  return true;
}

// Returns true if the command has BLOCK and waits now.
bool Connection::WaitForMemory(Engine::Turn& turn, const Command& command) {
  const auto block_ms = BlockOf(command, parser_.Args());
  if (!block_ms || info_.transaction.active ||
      store::Budget::NeedOfAttempt() > server_.memory.GetBudget().Limit()) {
    return false;
  }
  try {
    blocked_ = std::make_unique<Upload>(
        turn.Enter(), server_, info_,
        Upload::Request{.partition = parser_.Args()[1].text,
                        .deadline_us = DeadlineAfter(now_us_, *block_ms)},
        Upload::Attempts{.try_again = [this, &command] { return FindPlace(command); },
                         .give_up = [this] { DrainBulk(store::OutOfMemory()); }});
  } catch (const std::bad_alloc&) {
    return false;
  }
  info_.unblock = Unblock::kNo;
  return true;
}

void Connection::KeepWhatWaits(Context& context) {
  rest_ = std::move(context.rest);
  deliveries_ = std::exchange(context.deliveries, {});
  if (context.blocked != nullptr) {
    blocked_ = std::move(context.blocked);
    blocked_at_us_ = context.now_us;
    info_.unblock = Unblock::kNo;
  }
  NoteHandovers(context.turn);
}

}  // namespace sluice::server
