#include "server/connection.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "server/command_table.h"
#include "server/commands/kv_block.h"
#include "server/dispatch.h"
#include "server/observe.h"
#include "store/blob.h"

namespace sluice::server {
namespace {

using resp::RequestParser;
using store::Blob;
using store::Code;
using store::Memory;
using store::OutOfMemory;
using store::Status;

}  // namespace

Connection::Connection(Server& server, ThreadStats& stats, std::function<void()> wake,
                       ClientAddress address)
    : server_(server), stats_(stats), parser_(limits_), client_(std::move(wake)) {
  client_.id = server_.next_client_id.fetch_add(1, std::memory_order_relaxed);
  client_.address = std::move(address);
  client_.connected_us = server_.clock.NowUs();
  client_.active_us = client_.connected_us;
  client_.authenticated = !server_.wants_password;
}

Connection::~Connection() {
  parked_ = nullptr;               // its end may enter the engine
  server_.clients.Leave(client_);  // from now on nobody finds it
  server_.pubsub.UnsubscribeAll(client_);
  server_.monitors.fetch_sub(client_.monitor ? 1 : 0);
  if (!client_.transaction.watched.empty() || client_.has_leases) {
    Engine::Turn turn(server_.engine, server_.clock);
    for (bool more = true; more; turn.Leave()) {
      turn.Enter();
      server_.key_watchers.ForgetAll(client_);
      more = server_.streams.ClientGone(client_.id);
    }
    stats_.disconnect_hold_us.Add(turn.TakeLongestHold());
  }
  server_.parked_clients.fetch_sub(client_.blocked ? 1 : 0, std::memory_order_relaxed);
  server_.memory.GetBudget().Release(charged_);
  server_.client_bytes.fetch_sub(charged_, std::memory_order_relaxed);
}

std::array<std::span<char>, 2> Connection::ReadRoom() {
  std::span<char> bulk = parser_.BulkRoom();
  if (!bulk.empty()) {
    const std::span<char> part = bulk.first(std::min(bulk.size(), kReadBytesMax));
    if (!large_.back().ChargeUpTo(bulk_filled_ + part.size(), overdraft_)) {
      DrainBulk(OutOfMemory());
      bulk = {};
    } else if (part.size() < bulk.size()) {
      return {part, {}};  // what follows the argument is not in sight yet
    }
  }
  return {bulk, parser_.Room()};
}

void Connection::Received(std::size_t count) {
  stats_.input_bytes.Add(static_cast<std::int64_t>(count));
  const std::size_t before = parser_.BulkRoom().size();
  parser_.Filled(count);
  bulk_filled_ += before - parser_.BulkRoom().size();
}

void Connection::Run() {
  SetLimits();
  try {
    RunRequests();
  } catch (const std::bad_alloc&) {  // not even room for an error message: the client must not wait
                                     // for one
    closing_ = drop_output_ = true;
  }
  TakeMail();
  if (const bool waits = parked_ != nullptr || room_ != nullptr; waits != client_.blocked) {
    client_.blocked = waits;
    server_.parked_clients.fetch_add(waits ? 1 : -1, std::memory_order_relaxed);
  }
}

// Before login a client may make us hold next to nothing.
void Connection::SetLimits() {
  constexpr std::int64_t kArgsBeforeLogin = 10;
  constexpr std::int64_t kBulkBytesBeforeLogin = 16384;
  const bool in = client_.authenticated;
  limits_.before_login = !in;
  limits_.args_max = in ? resp::Limits().args_max : kArgsBeforeLogin;
  limits_.bulk_bytes_max = in ? server_.config.proto_max_bulk_len.load(std::memory_order_relaxed)
                              : kBulkBytesBeforeLogin;
}

void Connection::RunRequests() {
  Engine::Turn turn(server_.engine, server_.clock);
  now_us_ = server_.clock.NowUs();
  held_back_ = false;
  if (rest_ != nullptr) {
    WriteRest();
  }
  while (!closing_ && !Paused() && rest_ == nullptr && ResumeParked(turn)) {
    switch (parser_.Next()) {
      case RequestParser::Event::kNeedMore:
        return;
      case RequestParser::Event::kRequest:
        if (WaitsForUnpause()) {
          return;
        }
        RunRequest(turn);
        break;
      case RequestParser::Event::kBulk:
        turn.Leave();  // what follows is large: others need not wait for its preparation
        if (!TakeBulk()) {
          return;
        }
        break;
      case RequestParser::Event::kError:
        ProtocolError();
        break;
      case RequestParser::Event::kAbort:
        closing_ = drop_output_ = true;
        stats_.protocol_errors.Add(1);
        break;
    }
  }
  held_back_ = Paused();
}

std::int64_t Connection::DeadlineUs() const {
  if (pause_us_ != 0) {
    return pause_us_;
  }
  return parked_ != nullptr ? parked_->DeadlineUs() : room_deadline_us_;
}

// True where no command waits any more.
bool Connection::ResumeParked(Engine::Turn& turn) {
  if (!Parked()) {
    return true;
  }
  bool time_is_up = now_us_ >= DeadlineUs();
  if (!time_is_up && !client_.waker->Take()) {
    return false;
  }
  if (pause_us_ != 0) {
    if (!WaitsForUnpause()) {
      RunRequest(turn);
    }
    return !Parked() && rest_ == nullptr && !closing_;
  }
  const Unblock unblock = client_.unblock.exchange(Unblock::kNo);
  time_is_up = time_is_up || unblock != Unblock::kNo;
  if (parked_ == nullptr) {
    room_deadline_us_ = time_is_up ? now_us_ : room_deadline_us_;
    return true;  // the parser asks again for a place for the large argument
  }
  if (unblock == Unblock::kError) {
    parked_ = nullptr;
    static_cast<void>(reply_.Prepare());
    reply_.Error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    return true;
  }
  AnswerParked(turn, time_is_up);
  return parked_ == nullptr && rest_ == nullptr;
}

void Connection::AnswerParked(Engine::Turn& turn, bool time_is_up) {
  Context context = MakeContext(turn);
  const resp::Reply::Mark mark = reply_.Prepare();
  const std::int64_t resumed_us = now_us_;
  const bool answered = ResumeCommand(context, *parked_, time_is_up);
  now_us_ = context.now_us;
  if (answered) {
    ObserveParked(context,
                  {.parked_us = resumed_us - parked_at_us_, .worked_us = now_us_ - resumed_us});
    turn.Leave();  // its end enters the engine
    parked_ = nullptr;
    KeepWhatWaits(context);
    if (muted_) {
      reply_.Rewind(mark);
    }
  }
}

void Connection::WriteRest() {
  const resp::Reply::Mark mark = reply_.Prepare();
  if (!rest_->Write(reply_)) {
    rest_ = nullptr;
  }
  if (muted_) {
    reply_.Rewind(mark);
  }
}

// True where CLIENT PAUSE holds the request back; it stays where the parser has it.
bool Connection::WaitsForUnpause() {
  const std::int64_t until_us = server_.pause.until_us.load(std::memory_order_relaxed);
  pause_us_ = 0;
  if (until_us <= now_us_) {
    return false;
  }
  std::array<RequestArg, 2> head;
  const std::span<const resp::Argument> args = parser_.Args();
  const std::size_t known = std::min(args.size(), head.size());
  for (std::size_t i = 0; i < known; ++i) {
    head[i].text = args[i].text;
  }
  const Command* const command = ResolveCommand(std::span(head).first(known));
  if (command == nullptr || !Pausable(*command, client_, server_.pause.writes_only)) {
    return false;
  }
  client_.waker->Take();
  pause_us_ = until_us;
  return true;
}

bool Connection::Paused() const {
  return reply_.ScratchBytes() >= kPauseScratchBytes || reply_.PendingBytes() >= kPauseBytes;
}

void Connection::RunRequest(Engine::Turn& turn) {
  for (const resp::Argument& arg : parser_.Args()) {
    RequestArg& last = args_.emplace_back(RequestArg{.text = arg.text, .blob = {}});
    if (arg.large >= 0) {
      last.blob = std::move(large_[static_cast<std::size_t>(arg.large)]);
    }
  }
  Context context = MakeContext(turn);
  context.request = args_;
  const ReplyMode before = client_.reply_mode;
  const resp::Reply::Mark mark = reply_.Prepare();
  Dispatch(context, drained_);
  now_us_ = context.now_us;
  closing_ = client_.close_after_reply || client_.close_now;
  drop_output_ = client_.close_now;
  TakeReplyMode(before, mark);
  KeepWhatWaits(context);
  EndRequest();
  if (limits_.before_login == client_.authenticated) {
    SetLimits();
  }
}

// CLIENT REPLY: takes back what is not to be sent.
void Connection::TakeReplyMode(ReplyMode before, resp::Reply::Mark mark) {
  ReplyMode& mode = client_.reply_mode;
  muted_ = mode != ReplyMode::kOn;
  if (mode == ReplyMode::kSkipNext) {
    mode = ReplyMode::kSkip;
  } else if (mode == ReplyMode::kSkip && before == ReplyMode::kSkip) {
    mode = ReplyMode::kOn;
  }
  if (muted_) {
    reply_.Rewind(mark);
  }
}

Context Connection::MakeContext(Engine::Turn& turn) {
  return {.server = server_,
          .stats = stats_,
          .client = client_,
          .turn = turn,
          .scratch = scratch_,
          .reply = reply_,
          .now_us = now_us_};
}

void Connection::KeepWhatWaits(Context& context) {
  rest_ = std::move(context.rest);
  if (context.parked != nullptr) {
    parked_ = std::move(context.parked);
    parked_at_us_ = context.now_us;
    client_.unblock = Unblock::kNo;
  }
}

void Connection::EndRequest() {
  args_.clear();
  if (args_.capacity() > 1024) {
    args_ = {};
  }
  large_.clear();
  drained_ = {};
}

// The command that the large argument belongs to, where it can run at all; else null.
const Command* Connection::CommandOfBulk() {
  std::array<RequestArg, 2> head;
  const std::span<const resp::Argument> args = parser_.Args();
  const std::size_t known = std::min(args.size(), head.size());
  for (std::size_t i = 0; i < known; ++i) {
    head[i].text = args[i].text;
  }
  const Command* const command =
      known == 0 ? nullptr : ResolveCommand(std::span(head).first(known));
  return command != nullptr && ArityMatches(*command, parser_.ArgsExpected()) ? command : nullptr;
}

// False: the argument waits for room, as its command wants it.
bool Connection::TakeBulk() {
  if (room_ == nullptr) {
    large_.emplace_back();
    bulk_filled_ = 0;
  }
  const std::size_t bytes = parser_.BulkBytes();
  const Command* const command = CommandOfBulk();
  if (command == nullptr) {
    // The gates will refuse it: the text of this status is never sent.
    DrainBulk(Status(Code::kError, "the command cannot run"));
    return true;
  }
  if (!FindPlace(*command)) {
    if (WaitForRoom(*command)) {
      return false;
    }
    DrainBulk(OutOfMemory());
  } else {
    parser_.GivePlace(large_.back().data());
    bulk_filled_ = bytes - parser_.BulkRoom().size();
  }
  room_ = nullptr;
  return true;
}

// Memory for the argument whose header has come. A large one is reserved, and charged as it
// arrives; one that would wait for room is charged whole, so that nobody takes the room from it
// half-way.
bool Connection::FindPlace(const Command& command) {
  const std::size_t bytes = parser_.BulkBytes();
  const bool whole =
      bytes <= Memory::kChargeStepBytes || BlockOf(command, parser_.Args()).has_value();
  overdraft_ = (command.flags & kDenyOom) != 0 ? 0 : store::Budget::kOverdraftBytes;
  Blob& blob = large_.back();
  try {
    blob = whole ? server_.memory.Allocate(bytes, overdraft_) : server_.memory.Reserve(bytes);
  } catch (const std::bad_alloc&) {
    blob = {};
  }
  // Some of the bytes may have come with the header; at most as many as the input buffer holds.
  if (!blob.IsNull() && !blob.ChargeUpTo(std::min(bytes, parser_.BufferBytes()), overdraft_)) {
    blob = {};
  }
  return !blob.IsNull();
}

// True where the command has BLOCK, and its time is not up.
bool Connection::WaitForRoom(const Command& command) {
  const auto need = static_cast<std::int64_t>(store::Arena::RunBytes(parser_.BulkBytes()));
  if (room_ != nullptr) {
    room_->Refused();
    return now_us_ < room_deadline_us_;
  }
  const auto block_ms = BlockOf(command, parser_.Args());
  if (!block_ms || client_.transaction.active || need > server_.memory.GetBudget().Limit()) {
    return false;
  }
  try {
    client_.waker->Take();
    room_deadline_us_ = DeadlineAfter(now_us_, *block_ms);
    room_ = server_.room.Join(need, client_.waker);
  } catch (const std::bad_alloc&) {
    return false;
  }
  client_.unblock = Unblock::kNo;
  return true;
}

void Connection::DrainBulk(Status why) {
  if (drained_.ok()) {
    drained_ = std::move(why);
  }
  parser_.Drain();
  large_.back() = {};
}

void Connection::ProtocolError() {
  stats_.protocol_errors.Add(1);
  closing_ = true;
  reply_.Error(fmt::format("ERR Protocol error: {}", parser_.ErrorText()));
}

}  // namespace sluice::server
