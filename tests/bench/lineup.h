#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/bench/child.h"
#include "tests/bench/dialect.h"
#include "tests/bench/net.h"

namespace sluice::bench {

// Where the programs lie, as on a command line.
struct Programs {
  std::string server;  // empty: bare takes our place, which shows the most that can be reached
  std::string bare;
  std::string redis = "redis-server";
};

// A program that runs, listens and answers.
struct Contestant {
  std::string name;
  Dialect dialect = Dialect::kString;  // the one it is measured in
  Endpoint tcp;
  Endpoint unix_socket;
  std::unique_ptr<Child> child;
};

// Starts programs, each on a free port and a socket of its own in one scratch folder, where their
// logs go too. All stop with it. Throws when one cannot be started. One caller at a time.
class Lineup {
 public:
  explicit Lineup(Programs programs) : programs_(std::move(programs)) {}

  bool HasServer() const { return !programs_.server.empty(); }

  // Ours, or bare in its place. `options` go to our server only.
  Contestant StartOurs(const std::vector<std::string>& options = {});
  Contestant StartBare();
  Contestant StartRedis();
  // The fair fight: with an allocator that keeps and reuses what it touched, as our arena does.
  Contestant StartTunedRedis();

 private:
  Contestant Start(Child::Spec spec, Dialect dialect);

  Programs programs_;
  ScratchFolder scratch_;
  int started_ = 0;
};

}  // namespace sluice::bench
