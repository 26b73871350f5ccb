#include "server/net/connection_socket.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <new>
#include <span>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <poll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "server/net/address.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t kReceiveBytesMax = std::size_t{256} << 10;
constexpr std::int64_t kSecondUs = 1000000;
constexpr std::int64_t kLingerUs = 2 * kSecondUs;
constexpr std::size_t kLingerBytesMax = std::size_t{4} << 20;

}  // namespace

ConnectionSocket::ConnectionSocket(Socket socket, ConnectionSlot slot, Server& server,
                                   ThreadStats& stats, FlushQueue<ConnectionSocket>& flushes)
    : socket_(std::move(socket)),
      descriptor_(socket_.native_handle()),
      slot_(std::move(slot)),
      server_(server),
      stats_(stats),
      flushes_(flushes),
      connection_(
          server, stats, [this] { WakeUp(); }, AddressOf(descriptor_),
          [this] { return PeerGone(); }),
      progress_(socket_.get_executor(), asio::steady_timer::time_point::max()),
      read_us_(server.clock.NowUs()),
      written_us_(read_us_) {
  stats_.connections.Add(1);
}

void ConnectionSocket::Start() {
  connection_.Begin();
  Spawn(&ConnectionSocket::Serve);
}

// A coroutine that throws closes the socket for both, since the other one may be waiting for it.
void ConnectionSocket::Spawn(asio::awaitable<void> (ConnectionSocket::*coroutine)()) {
  const auto self = shared_from_this();
  asio::co_spawn(
      socket_.get_executor(), [self, coroutine] { return (*self.*coroutine)(); },
      [self](const std::exception_ptr& no_memory) {
        if (no_memory != nullptr) {
          self->CloseSocket();
        }
      });
}

asio::awaitable<void> ConnectionSocket::Serve() {
  const auto self = shared_from_this();
  while (socket_.is_open()) {
    if (machine_.Serving()) {
      connection_.Run();
    }
    if (!connection_.DropOutput()) {
      Send();
    }
    const Action action = machine_.Next(Look());
    if (action == Action::kRead) {
      const auto space = Space(&Connection::ReadSpace);
      if (machine_.HasEnded()) {
        continue;
      }
      const std::array buffers = {asio::mutable_buffer(space[0].data(), space[0].size()),
                                  asio::mutable_buffer(space[1].data(), space[1].size())};
      const auto read = co_await socket_.async_read_some(buffers, kToken);
      const auto& [error, count] = read;
      if (error) {
        machine_.Ended();  // earlier requests are still answered
      } else {
        NoteInput();
        connection_.Received(count);
      }
    } else if (action == Action::kReceive) {
      Receive();
      co_await asio::post(socket_.get_executor(), asio::use_awaitable);
    } else if (action == Action::kYield) {
      co_await asio::post(socket_.get_executor(), asio::use_awaitable);
    } else if (action == Action::kWatch) {
      Watch();
      co_await WaitForProgress();
    } else if (action == Action::kWait) {
      co_await WaitForProgress();
    } else if (action == Action::kStopWaiting) {
      connection_.StopWaiting();
    } else {
      if (action == Action::kLinger) {
        co_await Linger();
      }
      CloseSocket();
    }
  }
}

SocketMachine::Conversation ConnectionSocket::Look() {
  const bool paused = connection_.Paused();
  const bool blocked = connection_.Blocked();
  return {.drop_output = connection_.DropOutput(),
          .closing = connection_.Closing(),
          .paused = paused,
          .more = connection_.HasMore(),
          .blocked = blocked,
          .space = !(paused || blocked) || connection_.HasWatchSpace()};
}

// If there is no memory for input, earlier requests are still answered.
ConnectionSocket::Parts ConnectionSocket::Space(Parts (Connection::*space)()) noexcept {
  try {
    return (connection_.*space)();
  } catch (const std::bad_alloc&) {
    machine_.Ended();
    return {};
  }
}

void ConnectionSocket::NoteInput() {
  read_us_ = server_.clock.NowUs();
  connection_.GetInfo().active_us.store(read_us_, std::memory_order_relaxed);
}

// Receives while requests do not run. No buffer is given to the system in the meantime.
void ConnectionSocket::Receive() {
  for (std::size_t bytes = 0; bytes < kReceiveBytesMax;) {
    const auto space = Space(&Connection::WatchSpace);
    if (space[0].empty() && space[1].empty()) {
      return;
    }
    std::array<iovec, 2> parts = {iovec{.iov_base = space[0].data(), .iov_len = space[0].size()},
                                  iovec{.iov_base = space[1].data(), .iov_len = space[1].size()}};
    msghdr message = {};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t count = recvmsg(descriptor_, &message, MSG_DONTWAIT);
    const int error = errno;
    connection_.Watched(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count > 0) {
      NoteInput();
      bytes += static_cast<std::size_t>(count);
      continue;
    }
    if (count == 0) {
      machine_.Ended();
    } else if (error == EAGAIN || error == EWOULDBLOCK) {
      machine_.Emptied();
    } else if (error != EINTR) {
      machine_.Broke();
    }
    return;
  }
}

void ConnectionSocket::Watch() {
  machine_.Watch([this] {
    socket_.async_wait(Socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& /*ended*/) {
                         self->machine_.WatchEnded();
                         self->progress_.cancel();
                       });
  });
}

asio::awaitable<void> ConnectionSocket::WaitForProgress() {
  const std::int64_t deadline_us =
      connection_.Blocked() ? connection_.ResumeUs() : BlockedCommand::kNever;
  if (deadline_us != BlockedCommand::kNever) {
    constexpr std::int64_t kLeftUsMax =
        3'600'000'000;  // then it checks again: Asio's own unit is ns
    const std::int64_t left_us =
        std::clamp<std::int64_t>(deadline_us - server_.clock.NowUs(), 0, kLeftUsMax);
    progress_.expires_after(std::chrono::microseconds(left_us));
  }
  co_await progress_.async_wait(kToken);
  progress_.expires_at(asio::steady_timer::time_point::max());
}

// Any thread, while the connection exists.
void ConnectionSocket::WakeUp() {
  asio::post(socket_.get_executor(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->Guarded([&self] { self->Woken(); });
    }
  });
}

// Serve() may be waiting for bytes, so this uses only what does not touch the connection's input.
void ConnectionSocket::Woken() {
  if (!socket_.is_open()) {
    return;
  }
  connection_.TakeMail();
  if (!connection_.DropOutput()) {
    Send();
  }
  if (connection_.DropOutput() || machine_.Broken()) {
    CloseSocket();
    return;
  }
  progress_.cancel();
}

// Sends FIN, then waits for the peer's FIN: closing with unread input would make the system reset
// the connection, and the peer might not get the last reply.
asio::awaitable<void> ConnectionSocket::Linger() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  std::array<char, 4096> trash;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const std::int64_t until_us = server_.clock.NowUs() + kLingerUs;
  const asio::mutable_buffer space = asio::buffer(trash);
  for (std::size_t bytes = 0; bytes < kLingerBytesMax && server_.clock.NowUs() < until_us;) {
    const auto read = co_await socket_.async_read_some(space, kToken);
    const auto& [error, count] = read;
    if (error) {
      break;
    }
    bytes += count;
  }
}

// NOLINTNEXTLINE(bugprone-exception-escape): see Guarded()
void ConnectionSocket::Tick(std::int64_t now_us) noexcept {
  Guarded([this, now_us] { LookAfter(now_us); });
}

void ConnectionSocket::LookAfter(std::int64_t now_us) {
  const Config& config = server_.config;
  if (connection_.GetInfo().mailbox.Woken()) {
    Woken();  // the wake-up found no memory
    if (!socket_.is_open()) {
      return;
    }
  }
  const ConnectionInfo& info = connection_.GetInfo();
  const OutputLimit& limit =
      info.Subscribed() || info.monitor ? config.output_pubsub : config.output_normal;
  const std::int64_t soft_bytes = limit.soft_bytes;
  const std::int64_t soft_us = limit.soft_seconds * kSecondUs;
  const auto pending = static_cast<std::int64_t>(connection_.Output().PendingBytes());
  const bool stuck = pending > soft_bytes || (machine_.Finishing() && pending > 0);
  if (soft_bytes != 0 && soft_us != 0 && stuck && now_us - written_us_ >= soft_us) {
    LogNotice("client {} closed: {} bytes pending, none taken by the peer for {} s", info.id,
              pending, limit.soft_seconds.load());
    stats_.output_limit_disconnections.Add(1);
    CloseSocket();
    return;
  }
  const std::int64_t login_us = config.login_timeout * kSecondUs;
  if (!info.authenticated && login_us != 0 && now_us - info.connected_us >= login_us) {
    CloseSocket();
    return;
  }
  if (connection_.Blocked()) {
    LookAfterBlocked();
    return;
  }
  const std::int64_t idle_us = config.timeout * kSecondUs;
  const bool listens = info.Subscribed() || info.monitor;
  if (idle_us != 0 && pending == 0 && !listens && now_us - read_us_ >= idle_us) {
    CloseSocket();
    return;
  }
  if (machine_.Finishing() && pending == 0 && now_us - written_us_ >= kLingerUs) {
    CloseSocket();  // a peer that does not close its side
  }
}

// Reads input so that the end of the connection is noticed immediately, unless nothing more may be
// read. Earlier requests are still answered.
void ConnectionSocket::LookAfterBlocked() {
  const bool gone = PeerGone();
  if (gone) {
    machine_.Ended();
  }
  // Without memory a notification was not handled, or no input was read and so the end not noticed.
  if (gone || connection_.GetInfo().notifier->Notified() ||
      (!machine_.Watching() && connection_.HasWatchSpace())) {
    progress_.cancel();
  }
}

bool ConnectionSocket::PeerGone() const {
  pollfd peer = {.fd = descriptor_, .events = POLLRDHUP, .revents = 0};
  return poll(&peer, 1, 0) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void ConnectionSocket::Close() {
  Flush();
  CloseSocket();
}

void ConnectionSocket::CloseSocket() {
  if (socket_.is_open()) {
    connection_.Abandon();  // other threads check the descriptor while a command is blocked
    boost::system::error_code ignored;
    socket_.close(ignored);
    slot_ = nullptr;
    progress_.cancel();
    stats_.connections.Add(-1);
  }
}

}  // namespace sluice::server
