// Session: a connection's socket side: a coroutine that reads and runs, and while output is stuck a
// second one that writes. Both, and nobody else, touch the socket, on their I/O thread.
//
// The next read starts while output is still waiting, until the connection pauses: a client that
// writes its whole pipeline before it reads a reply does not lock itself up.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "server/connection.h"
#include "server/flush_queue.h"

namespace sluice::server {

class Session : public std::enable_shared_from_this<Session> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  Session(Socket socket, Seat seat, Server& server, ThreadStats& stats,
          FlushQueue<Session>& flushes);
  ~Session() { CloseSocket(); }  // NOLINT(bugprone-exception-escape): cancelling a timer
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Spawns the coroutine, which keeps the session alive until the connection ends. Where either
  // coroutine finds no memory the connection ends.
  void Start();
  // From the I/O thread, a few times a second: closes a client that is idle or does not read for
  // too long.
  void Tick(std::int64_t now_us);
  // Closes now; what waits to be sent is tried once more.
  void Close();
  [[nodiscard]] bool Open() const { return socket_.is_open(); }

  // For the flush queue: the end of the turn has come.
  void FlushDeferred() noexcept;  // NOLINT(bugprone-exception-escape): see session.cc

  Connection& GetConnection() { return connection_; }

 private:
  boost::asio::awaitable<void> Read();
  boost::asio::awaitable<void> WriteRest();
  boost::asio::awaitable<void> Linger();
  // Until a command that waits is woken, or its time is up, or output shrank.
  boost::asio::awaitable<void> WaitToResume();
  void WakeUp();
  void Woken();
  void TickBlocked();
  std::optional<std::array<boost::asio::mutable_buffer, 2>> ReadBuffers();
  // Sends what the socket takes at once, at most about 1 MiB. False where the connection is broken.
  bool Flush();
  // Sends what waits: now, or at the end of the turn. False where the connection is broken.
  bool Send();
  // Flush(), and the rest in the background. False where the connection is broken.
  bool FlushNow();
  void Sent(std::size_t bytes);
  void CloseSocket();
  void Spawn(boost::asio::awaitable<void> (Session::*coroutine)());

  Socket socket_;
  Seat seat_;
  Server& server_;
  ThreadStats& stats_;
  FlushQueue<Session>& flushes_;
  Connection connection_;
  // Cancelled whenever output shrank, writing ended, or what waits was woken.
  boost::asio::steady_timer progress_;
  bool writing_ = false;   // WriteRest() runs
  bool deferred_ = false;  // in the flush queue
  bool broken_ = false;
  bool finishing_ = false;       // nothing more is read; what waits is still sent
  std::int64_t read_us_ = 0;     // when bytes last came in
  std::int64_t written_us_ = 0;  // when the peer last took some, or output began to wait
};

}  // namespace sluice::server
