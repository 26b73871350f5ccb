#include "server/housekeeper.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "store/tensor/torch/loader.h"

namespace sluice::server {
namespace {

constexpr int kTickMs = 50;
constexpr std::int64_t kMillisecondUs = 1000;
constexpr std::size_t kNamesAtOnce = 256;  // names expired per hold of the engine lock
constexpr std::int64_t kWalkUs = 1000000;  // from the end of one walk to the beginning of the next

}  // namespace

Housekeeper::Housekeeper(Server& server)
    : server_(server),
      compaction_(server.store.Wiring(), server.memory),
      thread_([this] { Run(); }) {}

Housekeeper::~Housekeeper() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  if (torch_.joinable()) {
    torch_.join();
  }
}

void Housekeeper::Run() {
  std::int64_t next_walk_us = server_.clock.NowUs() + kWalkUs;
  while (!Stopping()) {
    const bool busy = CareForArena();
    server_.rates.Sample(server_.stats, server_.clock.NowUs());
    Expire();
    const std::int64_t next_lease_us = EndLeases();
    if (server_.clock.NowUs() >= next_walk_us) {
      Compact();
      LoadTorch();
      next_walk_us = server_.clock.NowUs() + kWalkUs;
    }
    const std::int64_t lease_ms = (next_lease_us - server_.clock.NowUs()) / kMillisecondUs + 1;
    const auto wait_ms = static_cast<int>(std::clamp<std::int64_t>(lease_ms, 1, kTickMs));
    if (!busy && StopWithin(wait_ms)) {
      return;
    }
  }
}

// Returns when the next lease expires.
std::int64_t Housekeeper::EndLeases() {
  engine::Engine::Turn turn(server_.engine, server_.clock);
  std::int64_t next_us = 0;
  do {
    next_us = server_.streams.EndLeases(turn.Enter(), server_.clock.NowUs());
    NoteHold(turn);
  } while (next_us <= server_.clock.NowUs() && !Stopping());
  return next_us;
}

// Returns true if there is more to do.
bool Housekeeper::CareForArena() {
  store::Arena& arena = server_.memory.GetArena();
  const bool touched = arena.TouchAhead();
  return arena.Trim() || touched;
}

// Removes all expired names; their rows are destroyed without the engine lock.
void Housekeeper::Expire() {
  for (bool more = true; more && !Stopping();) {
    store::RemovedNames removed(server_.memory);
    engine::Engine::Turn turn(server_.engine, server_.clock);
    engine::EngineLock& lock = turn.Enter();
    more = !server_.store(lock).RemoveExpired(kNamesAtOnce, removed);
    NoteHold(turn);
    while (!removed.TakeApart()) {
    }
  }
}

// One walk over everything.
void Housekeeper::Compact() {
  for (bool more = true; more && !Stopping();) {
    engine::Engine::Turn turn(server_.engine, server_.clock);
    if (compaction_.NeedsEngine()) {
      turn.Enter();
    }
    more = compaction_.Step();
    NoteHold(turn);
  }
}

// Loads libtorch once there are values and no command has run for a second: otherwise the first
// KV.SHOW would wait for it. A server without values never needs it.
void Housekeeper::LoadTorch() {
  const std::int64_t commands = server_.stats.Sum(&ThreadStats::commands);
  const bool idle = commands == std::exchange(commands_, commands);
  const bool has_values = server_.memory.GetArena().GetStats().used_bytes > 0;
  if (server_.torch == nullptr || !idle || !has_values || std::exchange(torch_tried_, true)) {
    return;
  }
  // Without a thread or memory for it, the first command that needs libtorch loads it and says why
  // it cannot.
  try {
    torch_ = std::thread([torch = server_.torch] {
      try {
        std::string why_not;
        static_cast<void>(torch->Get(&why_not));
      } catch (const std::bad_alloc&) {
      }
    });
  } catch (const std::exception&) {
  }
}

void Housekeeper::NoteHold(engine::Engine::Turn& turn) {
  turn.Leave();
  server_.stats.housekeeper_hold_us.Add(turn.TakeLongestHold());
}

bool Housekeeper::Stopping() {
  const MutexLock lock(mutex_);
  return stop_;
}

bool Housekeeper::StopWithin(int milliseconds) {
  MutexLock lock(mutex_);
  if (!stop_) {
    wake_.wait_for(lock, std::chrono::milliseconds(milliseconds));
  }
  return stop_;
}

}  // namespace sluice::server
