// The mailbox of a connection, and the limits on what a client can make the server hold.
#include <algorithm>
#include <limits>
#include <new>

#include "base/log.h"
#include "server/connection/connection.h"
#include "server/registry/messages.h"

namespace sluice::server {
namespace {

constexpr std::size_t kOutputBytesBeforeLogin = std::size_t{64} << 10;

}  // namespace

void Connection::TakeMail() {
  if (info_.mailbox.Killed()) {
    if (info_.mailbox.Overflowed()) {
      CloseOver(stats_.output_limit_disconnections, "too many pending messages");
    }
    closing_ = drop_output_ = true;
  } else {
    WriteMails();
  }
  CheckLimits();
  ChargeInput();
  NoteOutput();
}

void Connection::WriteMails() {
  if (rest_ == nullptr && !closing_ && !WriteMessages(info_, reply_)) {
    closing_ = drop_output_ = true;
  }
}

void Connection::Sent(std::size_t bytes) noexcept {
  reply_.Consume(bytes);
  while (!handovers_.empty() && handovers_.Front().end <= reply_.Consumed()) {
    if (handovers_.Front().delivery->WantsTaken()) {
      engine::Engine::Turn turn(server_.engine, server_.clock);
      handovers_.Front().delivery->OnTaken(turn.Enter());
      --wanting_taken_;
    }
    handovers_.PopFront();
  }
  NoteOutput();
}

std::size_t Connection::SendableBytes() const {
  if (wanting_taken_ == 0) {
    return std::numeric_limits<std::size_t>::max();
  }
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < handovers_.size(); ++i) {  // earlier deliveries are completed first
    end = std::max(end, handovers_[i].end);
    if (handovers_[i].delivery->WantsTaken()) {
      break;
    }
  }
  return static_cast<std::size_t>(end - reply_.Consumed());
}

std::int64_t Connection::HeldBytesMax(const Config& config) {
  const std::int64_t limit = config.client_query_buffer_limit;
  const std::int64_t mail = config.output_pubsub.hard_bytes;
  // A full buffer doubles before the limit is checked.
  const std::int64_t input = 2 * std::max<std::int64_t>(limit, kFreeInputBytes);
  constexpr auto kFixed = static_cast<std::int64_t>(kReadBytesMax);
  constexpr auto kOutput = static_cast<std::int64_t>(OutputBudget::kBytesMax + kPauseBytes);
  return limit == 0 || mail == 0 ? 0 : input + kOutput + mail + kFixed;
}

void Connection::CheckLimits() {
  const Config& config = server_.config;
  const auto over = [](std::size_t bytes, const std::atomic<std::int64_t>& limit) {
    const std::int64_t max = limit.load(std::memory_order_relaxed);
    return max != 0 && bytes > static_cast<std::size_t>(max);
  };
  if (over(InputBytes(), config.client_query_buffer_limit)) {
    CloseOver(stats_.query_limit_disconnections, "input over client-query-buffer-limit");
  }
  const std::size_t output = reply_.PendingBytes();
  const OutputLimit& limit =
      info_.Subscribed() || info_.monitor ? config.output_pubsub : config.output_normal;
  if (over(output, limit.hard_bytes) ||
      (!info_.authenticated && output > kOutputBytesBeforeLogin)) {
    CloseOver(stats_.output_limit_disconnections, "pending output over client-output-buffer-limit");
  }
}

void Connection::CloseOver(Counter& counter, std::string_view why) {
  if (!drop_output_) {
    counter.Add(1);
    try {
      LogNotice("client {} ({}) closed: {}", info_.id, info_.address.peer, why);
    } catch (const std::bad_alloc&) {
    }
  }
  closing_ = drop_output_ = true;
}

// For CLIENT LIST.
void Connection::NoteOutput() noexcept {
  const std::size_t pending = reply_.PendingBytes();
  info_.output_bytes.store(static_cast<std::int64_t>(reply_.CapacityBytes()),
                           std::memory_order_relaxed);
  info_.pending_bytes.store(static_cast<std::int64_t>(pending), std::memory_order_relaxed);
  info_.payload_bytes.store(static_cast<std::int64_t>(pending - reply_.ScratchBytes()),
                            std::memory_order_relaxed);
}

}  // namespace sluice::server
