#include "server/session.h"

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

#include "server/address.h"
#include "server/log.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t kWriteBytesMax = std::size_t{1} << 20;
constexpr std::size_t kDeferBytesMax = std::size_t{16} << 10;  // larger output is sent at once
constexpr std::size_t kWriteBuffersMax = 64;
constexpr std::int64_t kSecondUs = 1000000;
constexpr std::int64_t kLingerUs = 2 * kSecondUs;
constexpr std::size_t kLingerBytesMax = std::size_t{4} << 20;

}  // namespace

Session::Session(Socket socket, Seat seat, Server& server, ThreadStats& stats,
                 FlushQueue<Session>& flushes)
    : socket_(std::move(socket)),
      seat_(std::move(seat)),
      server_(server),
      stats_(stats),
      flushes_(flushes),
      connection_(
          server, stats, [this] { WakeUp(); }, AddressOf(socket_.native_handle())),
      progress_(socket_.get_executor(), asio::steady_timer::time_point::max()),
      read_us_(server.clock.NowUs()),
      written_us_(read_us_) {
  stats_.clients.Add(1);
}

void Session::Start() {
  connection_.Begin();
  Spawn(&Session::Read);
}

// The other coroutine may be waiting for this one, so one that throws closes the socket for both.
void Session::Spawn(asio::awaitable<void> (Session::*coroutine)()) {
  const auto self = shared_from_this();
  asio::co_spawn(
      socket_.get_executor(), [self, coroutine] { return (*self.*coroutine)(); },
      [self](const std::exception_ptr& no_memory) {
        if (no_memory != nullptr) {
          self->CloseSocket();
        }
      });
}

asio::awaitable<void> Session::Read() {
  const auto self = shared_from_this();
  while (socket_.is_open()) {
    connection_.Run();
    if (connection_.DropOutput() || !Send()) {
      break;
    }
    if (connection_.Closing()) {
      break;
    }
    if (connection_.Paused()) {
      co_await progress_.async_wait(kToken);
      continue;
    }
    if (connection_.HasMore()) {
      co_await asio::post(socket_.get_executor(), asio::use_awaitable);  // others have their turn
      continue;
    }
    if (connection_.Blocked()) {
      co_await WaitToResume();
      continue;
    }
    const auto buffers = ReadBuffers();
    if (!buffers) {
      break;
    }
    const auto read = co_await socket_.async_read_some(*buffers, kToken);
    const auto& [error, count] = read;
    if (error) {
      break;  // the peer is gone, or has nothing more to say: what it asked for is still sent
    }
    read_us_ = server_.clock.NowUs();
    connection_.GetClient().active_us.store(read_us_, std::memory_order_relaxed);
    connection_.Received(count);
  }
  finishing_ = true;
  if (!connection_.DropOutput()) {
    while ((writing_ || deferred_) && socket_.is_open()) {
      co_await progress_.async_wait(kToken);
    }
    if (connection_.Closing()) {
      co_await Linger();
    }
  }
  CloseSocket();
}

asio::awaitable<void> Session::WaitToResume() {
  const std::int64_t deadline_us = connection_.ResumeUs();
  if (deadline_us != BlockedCommand::kNever) {
    const std::int64_t left_us = std::max<std::int64_t>(deadline_us - server_.clock.NowUs(), 0);
    progress_.expires_after(std::chrono::microseconds(left_us));
  }
  co_await progress_.async_wait(kToken);
  progress_.expires_at(asio::steady_timer::time_point::max());
}

// From any thread, while the connection lives.
void Session::WakeUp() {
  asio::post(socket_.get_executor(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->Woken();
    }
  });
}

// Maybe while Read() waits for bytes: of the connection, only what does not touch its input.
void Session::Woken() {
  if (!socket_.is_open()) {
    return;
  }
  connection_.TakeMail();
  if (connection_.DropOutput() || !Send()) {
    CloseSocket();
    return;
  }
  progress_.cancel();
}

// Null where there is no memory left for the client's input.
std::optional<std::array<asio::mutable_buffer, 2>> Session::ReadBuffers() {
  try {
    const auto room = connection_.ReadRoom();
    return std::array{asio::mutable_buffer(room[0].data(), room[0].size()),
                      asio::mutable_buffer(room[1].data(), room[1].size())};
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

// Runs while the socket does not take all of the output at once. Appending meanwhile is fine: what
// is being written stays where it is (resp::Reply).
asio::awaitable<void> Session::WriteRest() {
  const auto self = shared_from_this();
  std::array<iovec, kWriteBuffersMax> parts;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::array<asio::const_buffer, kWriteBuffersMax> buffers;
  while (socket_.is_open() && connection_.Output().PendingBytes() > 0) {
    const std::size_t filled = connection_.Output().Gather(parts, kWriteBytesMax);
    for (std::size_t i = 0; i < filled; ++i) {
      buffers[i] = asio::const_buffer(parts[i].iov_base, parts[i].iov_len);
    }
    const std::span<const asio::const_buffer> sequence(buffers.data(), filled);
    const auto written = co_await socket_.async_write_some(sequence, kToken);
    const auto& [error, count] = written;
    if (error) {
      broken_ = true;
      break;
    }
    Sent(count);
    progress_.cancel();
  }
  writing_ = false;
  progress_.cancel();
}

void Session::Sent(std::size_t bytes) {
  connection_.Sent(bytes);
  stats_.output_bytes.Add(static_cast<std::int64_t>(bytes));
  written_us_ = server_.clock.NowUs();
}

// FIN, then wait for the peer's: closing with unread input would make the system reset the
// connection, and the peer might never see our last reply.
asio::awaitable<void> Session::Linger() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  std::array<char, 4096> trash;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const std::int64_t until_us = server_.clock.NowUs() + kLingerUs;
  const asio::mutable_buffer room = asio::buffer(trash);
  for (std::size_t bytes = 0; bytes < kLingerBytesMax && server_.clock.NowUs() < until_us;) {
    const auto read = co_await socket_.async_read_some(room, kToken);
    const auto& [error, count] = read;
    if (error) {
      break;
    }
    bytes += count;
  }
}

bool Session::Flush() {
  resp::Reply& output = connection_.Output();
  for (std::size_t sent = 0; sent < kWriteBytesMax && output.PendingBytes() > 0;) {
    std::array<iovec, kWriteBuffersMax> buffers;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    msghdr message = {};
    message.msg_iov = buffers.data();
    message.msg_iovlen = output.Gather(buffers, kWriteBytesMax);
    const ssize_t count = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      broken_ = broken_ || (errno != EAGAIN && errno != EWOULDBLOCK);
      break;
    }
    Sent(static_cast<std::size_t>(count));
    sent += static_cast<std::size_t>(count);
  }
  return !broken_;
}

bool Session::Send() {
  const std::size_t pending = connection_.Output().PendingBytes();
  if (pending == 0 || writing_) {
    return true;  // WriteRest() goes on until nothing is left
  }
  if (pending >= kDeferBytesMax || connection_.Closing()) {
    return FlushNow();
  }
  if (!deferred_) {
    deferred_ = true;
    flushes_.Add(shared_from_this());
  }
  return true;
}

// NOLINTNEXTLINE(bugprone-exception-escape): timers and sockets that are open throw nothing else
void Session::FlushDeferred() noexcept {
  deferred_ = false;
  progress_.cancel();
  try {
    if (socket_.is_open() && !writing_ && !FlushNow()) {
      CloseSocket();
    }
  } catch (const std::bad_alloc&) {
    CloseSocket();
  }
}

bool Session::FlushNow() {
  if (!Flush()) {
    return false;
  }
  if (connection_.Output().PendingBytes() == 0) {
    return true;
  }
  writing_ = true;
  written_us_ = server_.clock.NowUs();
  Spawn(&Session::WriteRest);
  return true;
}

void Session::Tick(std::int64_t now_us) {
  const Config& config = server_.config;
  if (connection_.GetClient().mailbox.Woken()) {
    Woken();  // it found no memory to say so itself
    if (!socket_.is_open()) {
      return;
    }
  }
  const Client& client = connection_.GetClient();
  const OutputLimit& limit =
      client.Subscribed() || client.monitor ? config.output_pubsub : config.output_normal;
  const std::int64_t soft_bytes = limit.soft_bytes;
  const std::int64_t soft_us = limit.soft_seconds * kSecondUs;
  const auto pending = static_cast<std::int64_t>(connection_.Output().PendingBytes());
  const bool stuck = pending > soft_bytes || (finishing_ && pending > 0);
  if (soft_bytes != 0 && soft_us != 0 && stuck && now_us - written_us_ >= soft_us) {
    LogNotice("client {} closed: {} bytes wait for it, and it took none of them for {} s",
              client.id, pending, limit.soft_seconds.load());
    stats_.output_limit_disconnections.Add(1);
    CloseSocket();
    return;
  }
  const std::int64_t login_us = config.login_timeout * kSecondUs;
  if (!client.authenticated && login_us != 0 && now_us - client.connected_us >= login_us) {
    CloseSocket();
    return;
  }
  if (connection_.Blocked()) {
    TickBlocked();
    return;
  }
  const std::int64_t idle_us = config.timeout * kSecondUs;
  const bool listens = client.Subscribed() || client.monitor;
  if (idle_us != 0 && pending == 0 && !listens && now_us - read_us_ >= idle_us) {
    CloseSocket();
    return;
  }
  if (finishing_ && pending == 0 && now_us - written_us_ >= kLingerUs) {
    CloseSocket();  // a peer that does not close its side
  }
}

// Nothing is read from a client that waits, so that it went is seen here.
void Session::TickBlocked() {
  pollfd peer = {.fd = socket_.native_handle(), .events = POLLRDHUP, .revents = 0};
  if (poll(&peer, 1, 0) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
    CloseSocket();
  } else if (connection_.GetClient().notifier->Notified()) {
    progress_.cancel();  // it found no memory to say so itself
  }
}

void Session::Close() {
  Flush();
  CloseSocket();
}

void Session::CloseSocket() {
  if (socket_.is_open()) {
    boost::system::error_code ignored;
    socket_.close(ignored);
    seat_ = nullptr;
    progress_.cancel();
    stats_.clients.Add(-1);
  }
}

}  // namespace sluice::server
