// Plan: the random choice of a client's requests (commands on the wild partitions and on a few
// strings) and of an operator's (changed limits, pauses, clients unblocked and killed). It uses no
// socket; a new command is a row in one of the tables of plan.cc.
//
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/scene.h"
#include "tests/support/random_picks.h"

namespace sluice::tests::chaos {

struct Request {
  std::vector<std::string> words = {};
  std::optional<std::int64_t> block_ms = {};  // it may wait this long; 0: forever
  bool write = false;                         // it may wait for memory or a full partition
  bool flush = false;                         // FLUSHALL
  std::string partition = {};                 // of TASK.FETCH
  std::string task = {};
};

class Plan : public RandomPicks {
 public:
  Plan(Scene& scene, unsigned seed) : RandomPicks(seed), scene_(scene) {}

  // A request of any client.
  Request Any();
  // A request of the operator, on a connection that is never killed.
  Request Operator();

  [[nodiscard]] bool Chance(unsigned percent) { return Pick(100) < percent; }
  std::int64_t BlockMs();  // usually short; sometimes a minute, or 0
  // Remembers a lease that a reply has named.
  void Remember(std::string partition, std::string task, std::string lease);

 private:
  friend struct Choices;
  struct Lease {
    std::string partition;
    std::string task;
    std::string id;
  };

  std::string Wild() { return Name("w", kWilds); }
  std::string Task() { return Name("t", 3); }
  std::string Victim();
  Lease PickLease();

  Scene& scene_;
  std::vector<Lease> leases_;
};

}  // namespace sluice::tests::chaos
