// Where a connection's input goes: the parser, large arguments, and, while requests do not run, the
// backlog.
#include <algorithm>
#include <array>

#include "server/connection/connection.h"

namespace sluice::server {

// Before login a client may make us hold next to nothing.
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
      return {part, {}};  // what follows the argument is not in sight yet
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

// What came while requests did not run.
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

// A large argument that was begun goes on to where it is kept, whatever the output does.
bool Connection::WatchesBulk() {
  return backlog_.Empty() && !ready_ && !Blocked() && !parser_.BulkSpace().empty();
}

// Past client-query-buffer-limit the client is cut; where memory is short it is not read from,
// either: a little is, so that one that writes before it reads is served all the same.
bool Connection::HasWatchSpace() {
  if (BlockedUpload()) {
    return false;  // the argument itself would be next
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

// What the client sent that we still hold, but for large arguments.
std::size_t Connection::BufferedBytes() const {
  return parser_.BufferBytes() + backlog_.CapacityBytes() + info_.transaction.bytes;
}

std::size_t Connection::InputBytes() const {
  return BufferedBytes() + info_.subscriptions.bytes;
}

void Connection::ChargeInput() {
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
