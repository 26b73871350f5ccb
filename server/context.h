// Context: all a command handler may touch. Server: what all connections share; built once in
// main.cc (and in the tests' harness); nothing else is global.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/wait_queues.h"
#include "resp/reply.h"
#include "server/blocked_command.h"
#include "server/client.h"
#include "server/config.h"
#include "server/key_watchers.h"
#include "server/long_reply.h"
#include "server/pause.h"
#include "server/pubsub.h"
#include "server/rates.h"
#include "server/request.h"
#include "server/slow_log.h"
#include "server/stats.h"
#include "server/streams.h"
#include "store/rows.h"
#include "store/safetensors.h"
#include "store/store.h"

namespace sluice::store {
class TorchLoader;
}

namespace sluice::server {

// A connection's place among the `maxclients`: given back when it is dropped.
struct LeaveSeat {
  void operator()(std::atomic<std::int64_t>* taken) const { taken->fetch_sub(1); }
};
using Seat = std::unique_ptr<std::atomic<std::int64_t>, LeaveSeat>;

struct Server {
  Config& config;
  const base::Clock& clock;
  store::Memory& memory;
  engine::Guarded<store::Store> store;
  engine::Engine& engine;
  Stats& stats;
  store::TorchLoader* torch = nullptr;        // null where it was not built
  std::function<void()> stop = [] {};         // begins an orderly end; any thread
  std::int64_t started_us = 0;                // of clock
  std::string run_id = {};                    // 40 hex digits, new at each start
  std::uint64_t seed{store.Wiring().Seed()};  // of hashes of what clients send
  std::atomic<std::int64_t> next_client_id{1};
  std::atomic<std::int64_t> seats_taken{0};
  std::atomic<std::int64_t> client_bytes{0};     // charged for connections' buffers
  std::atomic<std::int64_t> blocked_clients{0};  // whose command waits
  engine::WaitQueues wait_queues{engine, store.Wiring(), memory.GetBudget()};
  Clients clients{};
  PubSub pubsub{};
  KeyWatchers key_watchers{};
  Pause pause{};
  Streams streams{{.store = store.Wiring(),
                   .engine = engine,
                   .wait_queues = wait_queues,
                   .clock = clock,
                   .pause = pause,
                   .budget = memory.GetBudget()}};
  Rates rates{};
  SlowLog slow_log{};
  LatencyEvents latency{};
  std::atomic<bool> wants_password{false};  // requirepass is set
  std::atomic<int> monitors{0};             // clients of MONITOR
};

// Vectors for a command's arguments and results, kept so that a command allocates nothing in the
// steady state. Empty between commands.
struct Scratch {
  std::vector<std::string_view> keys;
  std::vector<std::string_view> fields;
  std::vector<std::string_view> words;
  std::vector<store::RowIndex> indexes;
  std::vector<store::ColumnWrite> columns;
  std::vector<store::TagWrite> tags;
  std::vector<store::Text> texts;
  std::deque<std::vector<std::int64_t>> ints;  // dims, shapes, dicts: Ints() hands them out
  std::size_t ints_used = 0;
  std::deque<std::string> bytes;  // values parsed from text
  std::size_t bytes_used = 0;
  std::vector<store::SafetensorsColumn> safetensors;  // `columns` borrow their dims
  store::WriteResult write;
  store::ReadResult read;

  std::vector<std::int64_t>& Ints();  // empty; stays where it is until Reset()
  std::string& Bytes();
  void Reset() noexcept;
};

struct Context {
  Server& server;
  ThreadStats& stats;
  Client& client;
  engine::Engine::Turn& turn;
  Scratch& scratch;
  resp::Reply& reply;
  std::int64_t now_us = 0;  // of the clock, when the current command began
  RequestView request = {};

  // A handler may set one of the two instead of answering, or, the first, after a part of the
  // answer.
  std::unique_ptr<LongReply> rest = nullptr;
  std::unique_ptr<BlockedCommand> blocked = nullptr;
  // What the reply hands over; several in EXEC.
  std::vector<std::unique_ptr<Delivery>> deliveries = {};
  bool may_block = true;        // false: a command that is resumed, or may not wait
  bool in_transaction = false;  // EXEC runs it

  // Ends what the handler left behind, and gives back what its reply would have handed over.
  void Forget() noexcept;
  ~Context() { Forget(); }  // where an exception is thrown; otherwise nothing is left
};

}  // namespace sluice::server
