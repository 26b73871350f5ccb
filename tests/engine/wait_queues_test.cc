// Which waiters are served, and in what order, without a server.
#include "engine/wait_queues.h"

#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/test_server.h"

namespace sluice::engine {
namespace {

using Kind = WaitKey::Kind;

class Recorder final : public Waiter {
 public:
  Recorder(std::string name, std::string& served) : name_(std::move(name)), served_(served) {}
  void OnServed(EngineLock& /*lock*/) noexcept override { served_ += name_; }

 private:
  std::string name_;
  std::string& served_;
};

// A server whose memory budget is used up: 1000 of 1000 bytes.
struct Full {
  Full() {
    store::Budget& budget = server.GetMemory().GetBudget();
    budget.SetLimit(budget.Used() + 1000);
    budget.Charge(1000);
  }
  store::Budget& Budget() { return server.GetMemory().GetBudget(); }
  WaitQueues& Queues() { return server.Get().wait_queues; }
  // Calls function(lock), then serves waiters.
  template <typename Function>
  void Locked(const Function& function) {
    Engine::Turn turn(server.Get().engine, server.GetClock());
    function(turn.Enter());
  }
  std::string Served() {
    server.ServeWaiters();
    return std::exchange(served, {});
  }

  tests::TestServer server;
  std::string served;
};

// A waiter and its position in a queue.
class QueuedWaiter {
 public:
  QueuedWaiter(Full& full, std::string name, const WaitKey& key, Waiter::Need need = {})
      : full_(full), waiter_(std::move(name), full.served) {
    full_.Locked([&](EngineLock& lock) REQUIRES(engine_role) {
      queue_ = &full_.Queues().Hold(lock, key);
      full_.Queues().Join(lock, *queue_, waiter_, need);
    });
  }
  QueuedWaiter(const QueuedWaiter&) = delete;
  QueuedWaiter& operator=(const QueuedWaiter&) = delete;
  ~QueuedWaiter() {
    full_.Locked([&](EngineLock& lock) REQUIRES(engine_role) {
      full_.Queues().Leave(lock, waiter_);
      full_.Queues().Release(lock, *queue_);
    });
  }
  void Refuse(std::int64_t bytes) {
    full_.Locked([&](EngineLock& lock) REQUIRES(engine_role) {
      full_.Queues().Refused(lock, waiter_, {.rows = 0, .bytes = bytes});
    });
  }
  [[nodiscard]] bool Waits() const { return waiter_.Waits(); }

 private:
  Full& full_;
  Recorder waiter_;
  WaitQueue* queue_ = nullptr;
};

Waiter::Need Bytes(std::int64_t bytes) {
  return {.rows = 0, .bytes = bytes};
}

TEST_CASE("a waiter for memory is served once, when there is enough", "[wait]") {
  Full full;
  const QueuedWaiter queued(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  CHECK(full.Served().empty());
  full.Budget().Release(49);
  CHECK(full.Served().empty());
  full.Budget().Release(1);
  CHECK(full.Served() == "a");
  full.Budget().Release(1);
  CHECK(full.Served().empty());
  full.Budget().Charge(51);
}

TEST_CASE("memory freed by a thread without the lock is noticed", "[wait]") {
  Full full;
  int asked = 0;
  full.Queues().SetServeSoon([&asked] { ++asked; });
  const QueuedWaiter queued(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  std::thread([&] { full.Budget().Release(60); }).join();
  CHECK(asked == 1);  // some thread will acquire the lock soon
  CHECK(full.Served() == "a");
  full.Budget().Charge(60);
}

TEST_CASE("a refused attempt waits for the bytes it needed, however often it frees what it took",
          "[wait]") {
  Full full;
  QueuedWaiter queued(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  full.Budget().Release(60);
  CHECK(full.Served() == "a");
  store::Budget::BeginAttempt();
  full.Budget().Charge(55);
  CHECK_FALSE(full.Budget().TryCharge(20));
  full.Budget().Release(55);
  CHECK(store::Budget::NeedOfAttempt() == 75);
  queued.Refuse(store::Budget::NeedOfAttempt());
  CHECK(full.Served().empty());
  full.Budget().Release(14);
  CHECK(full.Served().empty());
  full.Budget().Release(1);
  CHECK(full.Served() == "a");
  full.Budget().Charge(75);
}

TEST_CASE("a waiter that fits passes one that does not; memory offered to it is reserved",
          "[wait]") {
  Full full;
  QueuedWaiter first(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  const QueuedWaiter second(full, "b", {.kind = Kind::kMemory}, Bytes(30));
  const QueuedWaiter third(full, "c", {.kind = Kind::kMemory}, Bytes(30));
  full.Budget().Release(30);
  CHECK(full.Served() == "b");
  full.Budget().Release(15);
  CHECK(full.Served().empty());  // 45, of which 30 are reserved
  full.Budget().Release(15);
  CHECK(full.Served() == "a");  // the first in the queue
  first.Refuse(500);            // the bytes reserved for it are free
  CHECK(full.Served() == "c");
  full.Budget().Charge(60);
}

TEST_CASE("bytes reserved for a waiter that leaves go to the next waiter", "[wait]") {
  Full full;
  auto first = std::make_unique<QueuedWaiter>(full, "a", WaitKey{.kind = Kind::kMemory}, Bytes(50));
  const QueuedWaiter second(full, "b", {.kind = Kind::kMemory}, Bytes(50));
  full.Budget().Release(60);
  CHECK(full.Served() == "a");
  first = nullptr;
  CHECK(full.Served() == "b");
  full.Budget().Charge(60);
}

TEST_CASE("waiters without a need leave their queue when they are served, in order of arrival",
          "[wait]") {
  Full full;
  const WaitKey key = {.kind = Kind::kPartition, .partition = "p"};
  const QueuedWaiter first(full, "a", key);
  const QueuedWaiter second(full, "b", key);
  const QueuedWaiter other(full, "x", {.kind = Kind::kPartition, .partition = "q"});
  CHECK(full.Served().empty());
  full.Locked([&](EngineLock& lock) REQUIRES(engine_role) { full.Queues().Notify(lock, key); });
  CHECK(full.Served() == "ab");
  CHECK_FALSE(first.Waits());
  CHECK(other.Waits());
  full.Locked([&](EngineLock& lock) REQUIRES(engine_role) { full.Queues().Notify(lock, key); });
  CHECK(full.Served().empty());
}

TEST_CASE("a queue is freed with its last holder", "[wait]") {
  Full full;
  {
    const QueuedWaiter queued(full, "a", {.kind = Kind::kRow, .partition = "p", .row_key = "k"});
    CHECK(full.Queues().Holders(Kind::kRow) == 1);
  }
  CHECK(full.Queues().Holders(Kind::kRow) == 0);
}

}  // namespace
}  // namespace sluice::engine
