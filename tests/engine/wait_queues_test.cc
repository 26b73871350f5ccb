// Who is served when what they wait for comes, without a server.
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

// A server whose memory budget is full: 1000 bytes, all of them used.
struct Full {
  Full() {
    store::Budget& budget = server.GetMemory().GetBudget();
    budget.SetLimit(budget.Used() + 1000);
    budget.Charge(1000);
  }
  store::Budget& Budget() { return server.GetMemory().GetBudget(); }
  WaitQueues& Queues() { return server.Get().wait_queues; }
  // Calls function(lock); serves afterwards.
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

// A waiter in a queue, and its place there.
class Place {
 public:
  Place(Full& full, std::string name, const WaitKey& key, Waiter::Need need = {})
      : full_(full), waiter_(std::move(name), full.served) {
    full_.Locked([&](EngineLock& lock) REQUIRES(engine_role) {
      queue_ = &full_.Queues().Hold(lock, key);
      full_.Queues().Join(lock, *queue_, waiter_, need);
    });
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
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

TEST_CASE("who waits for memory is served once, when there is enough", "[wait]") {
  Full full;
  const Place place(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  CHECK(full.Served().empty());
  full.Budget().Release(49);
  CHECK(full.Served().empty());
  full.Budget().Release(1);
  CHECK(full.Served() == "a");
  full.Budget().Release(1);
  CHECK(full.Served().empty());
  full.Budget().Charge(51);
}

TEST_CASE("memory that a thread without the lock frees is not missed", "[wait]") {
  Full full;
  int asked = 0;
  full.Queues().SetServeSoon([&asked] { ++asked; });
  const Place place(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  std::thread([&] { full.Budget().Release(60); }).join();
  CHECK(asked == 1);  // somebody acquires the lock soon
  CHECK(full.Served() == "a");
  full.Budget().Charge(60);
}

TEST_CASE("a refused attempt waits for what it really needed, however often it frees what it took",
          "[wait]") {
  Full full;
  Place place(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  full.Budget().Release(60);
  CHECK(full.Served() == "a");
  store::Budget::BeginAttempt();
  full.Budget().Charge(55);
  CHECK_FALSE(full.Budget().TryCharge(20));
  full.Budget().Release(55);
  CHECK(store::Budget::NeedOfAttempt() == 75);
  place.Refuse(store::Budget::NeedOfAttempt());
  CHECK(full.Served().empty());
  full.Budget().Release(14);
  CHECK(full.Served().empty());
  full.Budget().Release(1);
  CHECK(full.Served() == "a");
  full.Budget().Charge(75);
}

TEST_CASE(
    "one that fits passes one that does not; what it is offered is set aside from those behind",
    "[wait]") {
  Full full;
  Place first(full, "a", {.kind = Kind::kMemory}, Bytes(50));
  const Place second(full, "b", {.kind = Kind::kMemory}, Bytes(30));
  const Place third(full, "c", {.kind = Kind::kMemory}, Bytes(30));
  full.Budget().Release(30);
  CHECK(full.Served() == "b");
  full.Budget().Release(15);
  CHECK(full.Served().empty());  // 45, of which 30 are set aside
  full.Budget().Release(15);
  CHECK(full.Served() == "a");  // the first in line
  first.Refuse(500);            // what was set aside for it is free
  CHECK(full.Served() == "c");
  full.Budget().Charge(60);
}

TEST_CASE("what was set aside for one that leaves goes to the next", "[wait]") {
  Full full;
  auto first = std::make_unique<Place>(full, "a", WaitKey{.kind = Kind::kMemory}, Bytes(50));
  const Place second(full, "b", {.kind = Kind::kMemory}, Bytes(50));
  full.Budget().Release(60);
  CHECK(full.Served() == "a");
  first = nullptr;
  CHECK(full.Served() == "b");
  full.Budget().Charge(60);
}

TEST_CASE("those without a need leave their queue when they are served, in order of arrival",
          "[wait]") {
  Full full;
  const WaitKey key = {.kind = Kind::kPartition, .partition = "p"};
  const Place first(full, "a", key);
  const Place second(full, "b", key);
  const Place other(full, "x", {.kind = Kind::kPartition, .partition = "q"});
  CHECK(full.Served().empty());
  full.Locked([&](EngineLock& lock) REQUIRES(engine_role) { full.Queues().Notify(lock, key); });
  CHECK(full.Served() == "ab");
  CHECK_FALSE(first.Waits());
  CHECK(other.Waits());
  full.Locked([&](EngineLock& lock) REQUIRES(engine_role) { full.Queues().Notify(lock, key); });
  CHECK(full.Served().empty());
}

TEST_CASE("a queue goes with its last holder", "[wait]") {
  Full full;
  {
    const Place place(full, "a", {.kind = Kind::kRow, .partition = "p", .row_key = "k"});
    CHECK(full.Queues().Holders(Kind::kRow) == 1);
  }
  CHECK(full.Queues().Holders(Kind::kRow) == 0);
}

}  // namespace
}  // namespace sluice::engine
