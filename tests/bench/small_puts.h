#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/dialect.h"
#include "tests/bench/net.h"

namespace sluice::bench {

// Puts 64-byte values under 100,000 keys over 50 connections with a pipeline of 16 requests each,
// from one thread: the work of redis-benchmark, without its cost per request. All requests are
// formatted beforehand, in one shuffled order for every server; a pipeline is one send of 16
// adjacent requests. Every byte of every reply is checked. One caller at a time.
class SmallPuts {
 public:
  // Connects and puts each key once; the keys must be new to the server.
  // Throws std::runtime_error on an unexpected reply, std::system_error if a connection fails.
  SmallPuts(const Endpoint& endpoint, Dialect dialect);

  struct Slice {
    double puts_per_second = 0;
    double client_cpu_share = 0;  // 1 if this thread was the bottleneck
  };

  // Puts for about `seconds`; errors as above.
  Slice Run(double seconds);

 private:
  struct Connection {
    Fd socket;
    std::string received;
  };

  void FormatBatches(Dialect dialect);
  // Sends batches, `count` of them or until `deadline`; returns the number of replies.
  std::size_t Exchange(std::size_t count, double seconds);
  void SendBatch(const Connection& connection);
  // Returns true once the whole reply to the connection's batch has arrived.
  bool ReceiveReply(Connection& connection);

  std::string requests_;
  std::vector<std::string_view> batches_;
  std::size_t next_batch_ = 0;
  std::string expected_reply_;
  Fd epoll_;
  std::vector<Connection> connections_;
};

}  // namespace sluice::bench
