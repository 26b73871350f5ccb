// The sending half of ConnectionSocket.
#include <array>
#include <cerrno>
#include <span>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <sys/socket.h>

#include "server/net/connection_socket.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t kWriteBytesMax = std::size_t{1} << 20;
constexpr std::size_t kDeferBytesMax = std::size_t{16} << 10;  // larger output is not deferred
constexpr std::size_t kWriteBuffersMax = 64;

}  // namespace

// Runs while the socket does not take all output immediately. Output may be appended in the
// meantime: the bytes being written do not move (resp::Reply).
asio::awaitable<void> ConnectionSocket::WriteRest() {
  const auto self = shared_from_this();
  std::array<iovec, kWriteBuffersMax> parts;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::array<asio::const_buffer, kWriteBuffersMax> buffers;
  while (socket_.is_open() && connection_.Output().PendingBytes() > 0) {
    const std::size_t filled = connection_.Output().Gather(parts, SendBytesMax());
    for (std::size_t i = 0; i < filled; ++i) {
      buffers[i] = asio::const_buffer(parts[i].iov_base, parts[i].iov_len);
    }
    const std::span<const asio::const_buffer> sequence(buffers.data(), filled);
    const auto written = co_await socket_.async_write_some(sequence, kToken);
    const auto& [error, count] = written;
    if (error) {
      machine_.Broke();
      break;
    }
    Sent(count);
    progress_.cancel();
  }
  machine_.Sent();
  progress_.cancel();
}

std::size_t ConnectionSocket::SendBytesMax() const {
  return std::min(kWriteBytesMax, connection_.SendableBytes());
}

void ConnectionSocket::Sent(std::size_t bytes) {
  connection_.Sent(bytes);
  stats_.output_bytes.Add(static_cast<std::int64_t>(bytes));
  written_us_ = server_.clock.NowUs();
}

void ConnectionSocket::Flush() {
  resp::Reply& output = connection_.Output();
  for (std::size_t sent = 0; sent < kWriteBytesMax && output.PendingBytes() > 0;) {
    std::array<iovec, kWriteBuffersMax> buffers;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    msghdr message = {};
    message.msg_iov = buffers.data();
    message.msg_iovlen = output.Gather(buffers, SendBytesMax());
    const ssize_t count = sendmsg(descriptor_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        machine_.Broke();
      }
      break;
    }
    Sent(static_cast<std::size_t>(count));
    sent += static_cast<std::size_t>(count);
  }
}

void ConnectionSocket::Send() {
  const std::size_t pending = connection_.Output().PendingBytes();
  if (pending == 0 || machine_.GetOutput() == SocketMachine::Output::kWriting) {
    return;  // WriteRest() continues until nothing is left
  }
  if (pending >= kDeferBytesMax || connection_.Closing()) {
    FlushNow();
  } else if (machine_.GetOutput() == SocketMachine::Output::kIdle) {
    machine_.Defer([this] { flushes_.Add(shared_from_this()); });
  }
}

// NOLINTNEXTLINE(bugprone-exception-escape): see Guarded()
void ConnectionSocket::FlushDeferred() noexcept {
  if (machine_.GetOutput() == SocketMachine::Output::kDeferred) {
    machine_.Sent();
    if (socket_.is_open()) {
      Guarded([this] { FlushNow(); });
    }
    if (machine_.Broken()) {
      CloseSocket();
    }
  }
  progress_.cancel();
}

void ConnectionSocket::FlushNow() {
  Flush();
  if (!machine_.Broken() && connection_.Output().PendingBytes() > 0) {
    written_us_ = server_.clock.NowUs();
    machine_.Write([this] { Spawn(&ConnectionSocket::WriteRest); });
  }
}

}  // namespace sluice::server
