// The input of a connection: the parser, large arguments and, while requests do not run, the
// backlog.
#include <algorithm>
#include <array>

#include "server/connection/connection.h"

namespace sluice::server {

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
