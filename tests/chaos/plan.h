// Plan: the random choice of what a client asks: commands on the wild partitions and on a few
// strings, and what an operator does: limits that move, pauses, clients unblocked and killed. It
// knows no socket; a new command is a row in one of the tables of plan.cc.
//
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/scene.h"
#include "tests/kv_model/random_picks.h"

namespace sluice::tests::chaos {

struct Request {
  std::vector<std::string> words = {};
  std::optional<std::int64_t> block_ms = {};  // it may wait so long; 0: for ever
  bool write = false;                         // for room
  bool flush = false;                         // FLUSHALL
  std::string partition = {};                 // of TASK.FETCH
  std::string task = {};
};

class Plan : public RandomPicks {
 public:
  Plan(Scene& scene, unsigned seed) : RandomPicks(seed), scene_(scene) {}

  // What any client does.
  Request Any();
  // What an operator does, on a connection that nobody kills.
  Request Operator();

  [[nodiscard]] bool Chance(unsigned percent) { return Pick(100) < percent; }
  std::int64_t BlockMs();  // mostly short; sometimes a minute, or 0
  // A lease that a reply has told of.
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
