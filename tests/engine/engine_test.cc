#include "engine/engine.h"

#include <atomic>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/test_server.h"

namespace sluice::engine {
namespace {

TEST_CASE("a turn acquires the lock when asked and releases it at its end", "[engine]") {
  Engine engine;
  const tests::ManualClock clock;
  {
    Engine::Turn turn(engine, clock);
    CHECK_FALSE(turn.Entered());
    turn.Leave();  // no effect
    turn.Enter();
    turn.Enter();  // no effect
    CHECK(turn.Entered());
  }
  Engine::Turn next(engine, clock);
  next.Enter();  // would block forever if the first had not released the lock
  CHECK(next.Entered());
  next.Leave();
  CHECK_FALSE(next.Entered());
}

TEST_CASE("commands share one hold, which ends after its time", "[engine]") {
  Engine engine;
  tests::ManualClock clock;
  Engine::Turn turn(engine, clock);
  turn.EndCommand(clock.NowUs() + Engine::kHoldUs);  // lock not acquired: no effect
  turn.Enter();
  clock.Advance(Engine::kHoldUs - 1);
  turn.Enter();  // the next command of the batch: the hold and its time continue
  turn.EndCommand(clock.NowUs());
  CHECK(turn.Entered());
  clock.Advance(1);
  turn.EndCommand(clock.NowUs());
  CHECK_FALSE(turn.Entered());
  turn.Enter();  // a new hold has the whole time again
  clock.Advance(Engine::kHoldUs - 1);
  turn.EndCommand(clock.NowUs());
  CHECK(turn.Entered());
}

TEST_CASE("the longest hold is measured for each command", "[engine]") {
  Engine engine;
  tests::ManualClock clock;
  Engine::Turn turn(engine, clock);
  turn.Enter();
  clock.Advance(30);
  turn.EndCommand(clock.NowUs());
  CHECK(turn.TakeLongestHold() == 30);
  clock.Advance(20);  // the next command of the batch: the lock is held throughout
  turn.EndCommand(clock.NowUs());
  CHECK(turn.TakeLongestHold() == 20);
  clock.Advance(5);
  turn.Leave();
  clock.Advance(1000);  // without the lock
  turn.Enter();
  clock.Advance(7);
  turn.EndCommand(clock.NowUs());
  CHECK(turn.TakeLongestHold() == 7);  // the longest uninterrupted hold
  CHECK(turn.TakeLongestHold() == 0);
}

TEST_CASE("only one thread holds the engine lock", "[engine]") {
  Engine engine;
  const SystemClock clock;
  constexpr int kThreads = 4;
  constexpr int kTurns = 20000;
  std::atomic<int> inside{0};
  std::atomic<int> collisions{0};
  std::int64_t unguarded = 0;
  const auto work = [&] {
    for (int i = 0; i < kTurns; ++i) {
      Engine::Turn turn(engine, clock);
      turn.Enter();
      collisions += inside.fetch_add(1);
      ++unguarded;
      if (i % 100 == 0) {
        std::this_thread::yield();  // long enough that other threads stop spinning and sleep
      }
      inside.fetch_sub(1);
      if (i % 2 == 0) {
        turn.Leave();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(collisions == 0);
  CHECK(unguarded == std::int64_t{kThreads} * kTurns);
}

// A clock that advances by a microsecond on every read.
class TickingClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t NowUs() const override { return ++now_us_; }
  [[nodiscard]] std::int64_t WallUs() const override { return now_us_; }

 private:
  mutable std::atomic<std::int64_t> now_us_{0};
};

TEST_CASE("a long batch releases the engine lock between two commands", "[engine]") {
  Engine engine;
  const TickingClock clock;
  Engine::Turn turn(engine, clock);
  int holds = 0;
  constexpr int kCommands = 1000;
  for (int i = 0; i < kCommands; ++i) {
    holds += turn.Entered() ? 0 : 1;
    turn.Enter();
    turn.EndCommand(clock.NowUs());
  }
  CHECK(holds > 1);
  CHECK(holds <= kCommands / (Engine::kHoldUs / 2));
}

}  // namespace
}  // namespace sluice::engine
