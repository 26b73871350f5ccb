#include "server/connection.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "server/command_table.h"
#include "server/commands/kv_block.h"
#include "server/dispatch.h"
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

Connection::Connection(Server& server, ThreadStats& stats, std::function<void()> wake)
    : server_(server), stats_(stats), parser_(limits_) {
  client_.id = server_.next_client_id.fetch_add(1, std::memory_order_relaxed);
  client_.waker = std::make_shared<Waker>(std::move(wake));
}

Connection::~Connection() {
  server_.parked_clients.fetch_sub(Parked() ? 1 : 0, std::memory_order_relaxed);
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
  limits_.bulk_bytes_max = server_.config.proto_max_bulk_len.load(std::memory_order_relaxed);
  try {
    RunRequests();
  } catch (const std::bad_alloc&) {  // not even room for an error message: the client must not wait
                                     // for one
    closing_ = drop_output_ = true;
  }
  CheckLimits();
  ChargeBuffers();
}

void Connection::RunRequests() {
  Engine::Turn turn(server_.engine, server_.clock);
  now_us_ = server_.clock.NowUs();
  held_back_ = false;
  if (rest_ != nullptr && !rest_->Write(reply_)) {
    rest_ = nullptr;
  }
  while (!closing_ && !Paused() && rest_ == nullptr && ResumeParked(turn)) {
    switch (parser_.Next()) {
      case RequestParser::Event::kNeedMore:
        return;
      case RequestParser::Event::kRequest:
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
  return parked_ != nullptr ? parked_->DeadlineUs() : room_deadline_us_;
}

// True where no command waits any more.
bool Connection::ResumeParked(Engine::Turn& turn) {
  if (!Parked()) {
    return true;
  }
  const bool time_is_up = now_us_ >= DeadlineUs();
  if (!time_is_up && !client_.waker->Take()) {
    return false;
  }
  if (parked_ == nullptr) {
    return true;  // the parser asks again for a place for the large argument
  }
  Context context = MakeContext(turn);
  const bool answered = ResumeCommand(context, *parked_, time_is_up);
  now_us_ = context.now_us;
  if (answered) {
    turn.Leave();  // its end enters the engine
    parked_ = nullptr;
    server_.parked_clients.fetch_sub(1, std::memory_order_relaxed);
    KeepWhatWaits(context);
  }
  return answered && rest_ == nullptr;
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
  Dispatch(context, drained_);
  now_us_ = context.now_us;
  closing_ = client_.close_after_reply;
  KeepWhatWaits(context);
  EndRequest();
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
    server_.parked_clients.fetch_add(1, std::memory_order_relaxed);
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
  if (room_ != nullptr) {
    room_ = nullptr;
    server_.parked_clients.fetch_sub(1, std::memory_order_relaxed);
  }
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
  if (!block_ms || need > server_.memory.GetBudget().Limit()) {
    return false;
  }
  try {
    client_.waker->Take();
    room_deadline_us_ = DeadlineAfter(now_us_, *block_ms);
    room_ = server_.room.Join(need, client_.waker);
  } catch (const std::bad_alloc&) {
    return false;
  }
  server_.parked_clients.fetch_add(1, std::memory_order_relaxed);
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

// The limits on what a client may make us hold.
void Connection::CheckLimits() {
  const Config& config = server_.config;
  const auto over = [](std::size_t bytes, const std::atomic<std::int64_t>& limit) {
    const std::int64_t max = limit.load(std::memory_order_relaxed);
    return max != 0 && bytes > static_cast<std::size_t>(max);
  };
  if (over(parser_.BufferBytes(), config.client_query_buffer_limit)) {
    stats_.query_limit_disconnections.Add(1);
    closing_ = drop_output_ = true;
  }
  if (over(reply_.PendingBytes(), config.output_hard_bytes)) {
    stats_.output_limit_disconnections.Add(1);
    closing_ = drop_output_ = true;
  }
}

void Connection::ChargeBuffers() {
  const auto held = static_cast<std::int64_t>(parser_.BufferBytes() + reply_.CapacityBytes());
  if (held > charged_) {
    server_.memory.GetBudget().Charge(held - charged_);
  } else {
    server_.memory.GetBudget().Release(charged_ - held);
  }
  server_.client_bytes.fetch_add(held - charged_, std::memory_order_relaxed);
  charged_ = held;
}

}  // namespace sluice::server
