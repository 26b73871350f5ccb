#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/bench/dialect.h"
#include "tests/bench/net.h"
#include "tests/support/child.h"

namespace sluice::bench {

// Paths of the programs, as on a command line.
struct Programs {
  std::string server;  // empty: bare replaces the server, which shows the upper bound
  std::string bare;
  std::string redis = "redis-server";
};

// A running program that listens and replies.
struct Contestant {
  std::string name;
  Dialect dialect = Dialect::kString;  // the dialect used for its measurements
  Endpoint tcp;
  Endpoint unix_socket;
  std::unique_ptr<tests::Child> child;
};

// Starts programs, each on a free port and its own socket in one scratch folder, which also holds
// the logs. The destructor stops all. Throws if one cannot be started. One caller at a time.
class Lineup {
 public:
  explicit Lineup(Programs programs) : programs_(std::move(programs)) {}

  bool HasServer() const { return !programs_.server.empty(); }

  // The server, or bare in its place. Only the server gets `options`.
  Contestant StartOurs(const std::vector<std::string>& options = {});
  Contestant StartBare();
  Contestant StartRedis();
  // A fair comparison: its allocator keeps and reuses touched memory, as our arena does.
  Contestant StartTunedRedis();

 private:
  Contestant Start(tests::Child::Spec spec, Dialect dialect);

  Programs programs_;
  tests::ScratchFolder scratch_;
  int started_ = 0;
};

}  // namespace sluice::bench
