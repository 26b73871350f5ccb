// Server: the state that all connections share. Created once, by main.cc or by the test harness;
// nothing else is global.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "controller/streams.h"
#include "engine/engine.h"
#include "engine/pause.h"
#include "engine/wait_queues.h"
#include "server/config/config.h"
#include "server/observability/rates.h"
#include "server/observability/slow_log.h"
#include "server/observability/stats.h"
#include "server/registry/connections.h"
#include "server/registry/key_watchers.h"
#include "server/registry/subscriptions.h"
#include "store/store.h"

namespace sluice::store {
class TorchLoader;
}

namespace sluice::server {

// A connection's share of `maxclients`: given back when destroyed.
struct ReleaseSlot {
  void operator()(std::atomic<std::int64_t>* taken) const { taken->fetch_sub(1); }
};
using ConnectionSlot = std::unique_ptr<std::atomic<std::int64_t>, ReleaseSlot>;

struct Server {
  Config& config;
  const Clock& clock;
  store::Memory& memory;
  engine::Guarded<store::Store> store;
  engine::Engine& engine;
  Stats& stats;
  store::TorchLoader* torch = nullptr;                    // null if it was not built
  std::function<void()> stop = [] {};                     // begins an orderly shutdown; any thread
  std::int64_t started_us = 0;                            // clock time
  std::string run_id = {};                                // 40 hex digits, new at each start
  std::uint64_t seed{store.Wiring().GetSeeds().hashing};  // for hashes of client data
  std::atomic<std::int64_t> next_client_id{1};
  std::atomic<std::int64_t> slots_taken{0};
  std::atomic<std::int64_t> client_bytes{0};     // charged for connections' buffers
  std::atomic<std::int64_t> blocked_clients{0};  // connections with a blocked command
  engine::WaitQueues wait_queues{engine, store.Wiring(), memory.GetBudget()};
  Connections connections{};
  SubscriptionRegistry subscriptions{};
  KeyWatchers key_watchers{seed};
  engine::Pause pause{};
  controller::Streams streams{{.store = store.Wiring(),
                               .engine = engine,
                               .wait_queues = wait_queues,
                               .clock = clock,
                               .pause = pause,
                               .budget = memory.GetBudget()}};
  Rates rates{};
  SlowLog slow_log{};
  LatencyEvents latency{};
  std::atomic<bool> wants_password{false};  // requirepass is set
  std::atomic<int> monitors{0};             // connections in MONITOR
};

// Returns the address space to reserve for payloads, in bytes: four times the machine's memory, so
// that fragmentation cannot exhaust it.
std::size_t ArenaReserveBytes();
// Returns the option arena-keep in bytes; SIZE_MAX if the option is 0.
std::size_t ArenaKeepBytes(const Config& config);

// Copies options to the parts that keep a copy. Called at startup and after each CONFIG SET.
void ApplyConfig(Server& server);

// 40 random hexadecimal digits.
std::string NewRunId();

}  // namespace sluice::server
