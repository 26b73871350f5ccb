// MetricsListener: serves GET /metrics on `metrics-port`, by HTTP/1.1, to Prometheus.
//
// It has a thread of its own, a few connections at a time and a limit on all that a peer may send
// or wait for, so that clients of the server never notice it. It asks for no password; as long as
// the server refuses clients from other machines (protected-mode), so does it.
//
// Thread safety: one caller at a time; never from its own thread.
#pragma once

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/status.h"
#include "server/dispatch/context.h"

namespace sluice::server {

class MetricsListener {
 public:
  static constexpr std::size_t kConnectionsMax = 8;  // the oldest goes when one more comes
  static constexpr std::size_t kDescriptorsMax = kConnectionsMax + 8;  // its loop, its acceptors

  explicit MetricsListener(Server& server) : server_(server) {}
  ~MetricsListener();  // ends its connections and its thread
  MetricsListener(const MetricsListener&) = delete;
  MetricsListener& operator=(const MetricsListener&) = delete;

  // Binds and begins to serve; does nothing where `metrics-port` is 0. REQUIRES: server.stats has
  // all its threads. Errors: kError naming the address and the system's reason.
  Status Open();
  // Its thread's loop.
  boost::asio::io_context& GetContext() { return context_; }

 private:
  struct Connection;
  void Run();
  boost::asio::awaitable<void> Accept(boost::asio::ip::tcp::acceptor& acceptor);
  void Take(boost::asio::ip::tcp::socket socket);
  boost::asio::awaitable<void> Talk(std::shared_ptr<Connection> connection);

  Server& server_;
  boost::asio::io_context context_{1};
  std::vector<boost::asio::ip::tcp::acceptor> acceptors_;
  std::deque<std::weak_ptr<Connection>> connections_;  // in the order in which they came
  std::thread thread_;
};

}  // namespace sluice::server
