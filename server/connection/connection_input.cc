// The input of a connection: the parser, the memory of large arguments and, while requests do not
// run, the backlog.
#include <algorithm>
#include <array>
#include <new>

#include "server/commands/kv/kv_block.h"
#include "server/connection/connection.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "store/memory/blob.h"

namespace sluice::server {

using engine::Engine;
using store::Blob;
using store::Memory;
using store::OutOfMemory;

// Before login a client can make the server hold almost nothing.
void Connection::SetLimits() {
  constexpr std::int64_t kArgsBeforeLogin = 10;
  constexpr std::int64_t kBulkBytesBeforeLogin = 16384;
  const bool in = info_.authenticated;
  limits_.before_login = !in;
  limits_.args_max = in ? resp::Limits().args_max : kArgsBeforeLogin;
  limits_.bulk_bytes_max = in ? server_.config.proto_max_bulk_len.load(std::memory_order_relaxed)
                              : kBulkBytesBeforeLogin;
}

// Returns the command that the large argument belongs to; null if the command cannot run.
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

// Returns false if the argument waits for memory, as its command (BLOCK) requests.
bool Connection::TakeBulk(Engine::Turn& turn) {
  large_.emplace_back();
  bulk_filled_ = 0;
  const Command* const command = CommandOfBulk();
  if (command == nullptr) {
    // A gate refuses the command: the text of this status is never sent.
    DrainBulk(Status(Code::kError, "the command cannot run"));
    return true;
  }
  store::Budget::BeginAttempt();
  if (FindPlace(*command)) {
    return true;
  }
  if (WaitForMemory(turn, *command)) {
    return false;
  }
  DrainBulk(OutOfMemory());
  return true;
}

// Allocates memory for the argument whose header was received. A large argument is reserved, and
// charged as it arrives; one that may wait for memory is charged as a whole, so that no other
// command takes the memory half-way.
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
  // Some bytes may have arrived with the header; at most as many as the input buffer holds.
  if (!blob.IsNull() && !blob.ChargeUpTo(std::min(bytes, parser_.BufferBytes()), overdraft_)) {
    blob = {};
  }
  if (blob.IsNull()) {
    return false;
  }
  parser_.GiveBuffer(blob.data());
  bulk_filled_ = bytes - parser_.BulkSpace().size();
  return true;
}

std::array<std::span<char>, 2> Connection::ReadSpace() {
  std::span<char> bulk = parser_.BulkSpace();
  if (!bulk.empty()) {
    const std::span<char> part = bulk.first(std::min(bulk.size(), kReadBytesMax));
    if (!large_.back().ChargeUpTo(bulk_filled_ + part.size(), overdraft_)) {
      DrainBulk(store::OutOfMemory());
      bulk = {};
    } else if (part.size() < bulk.size()) {
      return {part, {}};  // the end of the argument is not reached yet
    }
  }
  return {bulk, parser_.Space()};
}

void Connection::Received(std::size_t count) {
  stats_.input_bytes.Add(static_cast<std::int64_t>(count));
  Filled(count);
}

void Connection::DrainBulk(Status why) {
  if (drained_.ok()) {
    drained_ = std::move(why);
  }
  parser_.Drain();
  large_.back() = {};
}

// Feeds the input that arrived while requests did not run.
void Connection::FeedParser() {
  std::size_t count = 0;
  for (const std::span<char> part : ReadSpace()) {
    count += backlog_.Take(part);
  }
  Filled(count);
}

void Connection::Filled(std::size_t count) {
  const std::size_t before = parser_.BulkSpace().size();
  parser_.Filled(count);
  bulk_filled_ += before - parser_.BulkSpace().size();
}

// A large argument that was begun is received into its memory even while output is pending.
bool Connection::WatchesBulk() {
  return backlog_.Empty() && !ready_ && !Blocked() && !parser_.BulkSpace().empty();
}

// The connection is closed over client-query-buffer-limit, and not read if memory is short. A
// little is always read, so that a client that writes before it reads is served.
bool Connection::HasWatchSpace() {
  if (BlockedUpload()) {
    return false;  // the argument itself comes next
  }
  const store::Budget& budget = server_.memory.GetBudget();
  return WatchesBulk() || backlog_.CapacityBytes() < kFreeInputBytes ||
         budget.Used() - store::Budget::kOverdraftBytes <= budget.Limit();
}

std::array<std::span<char>, 2> Connection::WatchSpace() {
  if (!HasWatchSpace()) {
    return {};
  }
  watches_bulk_ = WatchesBulk();
  if (watches_bulk_) {
    return ReadSpace();
  }
  return {backlog_.Space(), {}};
}

void Connection::Watched(std::size_t count) {
  if (watches_bulk_) {
    Received(count);
    return;
  }
  stats_.input_bytes.Add(static_cast<std::int64_t>(count));
  backlog_.Filled(count);
}

// Received bytes that are still held, without large arguments.
std::size_t Connection::BufferedBytes() const {
  return parser_.BufferBytes() + backlog_.CapacityBytes() + info_.transaction.bytes;
}

std::size_t Connection::InputBytes() const {
  return BufferedBytes() + info_.subscriptions.bytes;
}

// For CLIENT LIST.
void Connection::NoteQuery() noexcept {
  info_.query_bytes.store(static_cast<std::int64_t>(parser_.QueryBytes()),
                          std::memory_order_relaxed);
}

void Connection::ChargeInput() {
  NoteQuery();
  const auto held = static_cast<std::int64_t>(BufferedBytes());
  if (held != charged_) {
    if (held > charged_) {
      server_.memory.GetBudget().Charge(held - charged_);
    } else {
      server_.memory.GetBudget().Release(charged_ - held);
    }
    server_.client_bytes.fetch_add(held - charged_, std::memory_order_relaxed);
    charged_ = held;
    info_.input_bytes.store(held, std::memory_order_relaxed);
  }
}

}  // namespace sluice::server
