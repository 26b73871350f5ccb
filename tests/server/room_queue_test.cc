// Who is woken when memory is given back, without a server: what happens between a failed attempt
// and its Refused() can be had only here.
#include "server/room_queue.h"

#include <thread>

#include <catch2/catch.hpp>

namespace sluice::server {
namespace {

// 100 bytes, all of them used.
struct Full {
  Full() {
    budget.SetLimit(100);
    budget.Charge(100);
  }
  void ReleaseElsewhere(std::int64_t bytes) {
    std::thread([&] { budget.Release(bytes); }).join();
  }

  store::Budget budget;
  RoomQueue room{budget};
};

std::shared_ptr<Waker> MakeWaker() {
  return std::make_shared<Waker>([] {});
}

TEST_CASE("who waits for room is woken when there is enough, and once", "[room]") {
  Full full;
  const auto waker = MakeWaker();
  const auto ticket = full.room.Join(50, waker);
  full.budget.Release(49);
  CHECK_FALSE(waker->Take());
  full.budget.Release(1);
  CHECK(waker->Take());
  full.budget.Release(1);
  CHECK_FALSE(waker->Take());
}

TEST_CASE("what another thread gives back during a failed attempt is not missed", "[room]") {
  Full full;
  const auto waker = MakeWaker();
  const auto ticket = full.room.Join(50, waker);
  full.budget.Release(60);
  REQUIRE(waker->Take());
  SECTION("memory is less used than when it tried") {
    full.ReleaseElsewhere(10);
  }
  SECTION("others took the room and gave it back") {
    full.budget.Charge(60);
    full.ReleaseElsewhere(60);
  }
  ticket->Refused();
  CHECK(waker->Take());
  ticket->Refused();  // nothing came back since
  CHECK_FALSE(waker->Take());
  full.budget.Release(1);
  CHECK(waker->Take());
}

TEST_CASE("what a failed attempt itself took and gave back does not repeat it", "[room]") {
  Full full;
  const auto waker = MakeWaker();
  const auto ticket = full.room.Join(50, waker);
  full.budget.Release(60);
  REQUIRE(waker->Take());
  full.budget.Charge(20);
  full.budget.Release(20);
  ticket->Refused();
  CHECK_FALSE(waker->Take());
}

TEST_CASE("room goes to the first, and when that is refused, to those behind", "[room]") {
  Full full;
  const auto first_waker = MakeWaker();
  const auto second_waker = MakeWaker();
  const auto first = full.room.Join(50, first_waker);
  const auto second = full.room.Join(30, second_waker);
  full.budget.Release(55);
  CHECK(first_waker->Take());
  CHECK_FALSE(second_waker->Take());
  first->Refused();
  CHECK_FALSE(first_waker->Take());
  CHECK(second_waker->Take());
}

}  // namespace
}  // namespace sluice::server
