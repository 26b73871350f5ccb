// MetricsListener: serves GET /metrics on `metrics-port`, by HTTP/1.1, to Prometheus.
//
// It has its own thread, few connections, and limits on what a peer may send and on how long it may
// wait, so that clients of the server do not notice it. It needs no password. While protected-mode
// refuses connections from other machines, the metrics port refuses them, too.
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
  static constexpr std::size_t kConnectionsMax = 8;  // a new one replaces the oldest
  static constexpr std::size_t kDescriptorsMax = kConnectionsMax + 8;  // its loop, its acceptors

  explicit MetricsListener(Server& server) : server_(server) {}
  ~MetricsListener();  // ends its connections and its thread
  MetricsListener(const MetricsListener&) = delete;
  MetricsListener& operator=(const MetricsListener&) = delete;

  // Binds and begins to serve; does nothing if `metrics-port` is 0. REQUIRES: server.stats has all
  // its threads. Errors: kError naming the address and the system's reason.
  Status Open();
  // The loop of its thread.
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
  std::deque<std::weak_ptr<Connection>> connections_;  // oldest first
  std::thread thread_;
};

}  // namespace sluice::server
