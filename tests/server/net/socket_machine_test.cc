// SocketMachine without a socket: a table of next actions, the state after a failing allocation,
// and random conversations, all of which must end.
#include "server/net/socket_machine.h"

#include <array>
#include <new>
#include <random>

#include <catch2/catch.hpp>

namespace sluice::server {
namespace {

using Action = SocketMachine::Action;
using Conversation = SocketMachine::Conversation;
using Output = SocketMachine::Output;

constexpr auto kNothing = [] {};
constexpr auto kNoMemory = [] { throw std::bad_alloc(); };

TEST_CASE("a connection reads; while requests do not run it watches", "[socket-machine]") {
  SocketMachine machine;
  CHECK(machine.Next({}) == Action::kRead);
  CHECK(machine.Next({.more = true}) == Action::kYield);
  for (const Conversation held : {Conversation{.paused = true}, Conversation{.blocked = true},
                                  Conversation{.paused = true, .more = true}}) {
    SocketMachine watcher;
    CHECK(watcher.Next(held) == Action::kWatch);
    watcher.Watch(kNothing);
    watcher.WatchEnded();
    CHECK(watcher.Next(held) == Action::kReceive);
    watcher.Emptied();
    CHECK(watcher.Next(held) == Action::kWatch);
    Conversation full = held;
    full.space = false;
    CHECK(watcher.Next(full) == Action::kWait);
    CHECK(watcher.Next({}) == Action::kRead);  // requests run again
  }
}

TEST_CASE("a peer that ended its input gets its replies, but not while a command is blocked",
          "[socket-machine]") {
  SECTION("all of its requests run") {
    SocketMachine machine;
    machine.Ended();
    CHECK(machine.Next({.paused = true, .more = true}) == Action::kWait);
    CHECK(machine.Next({.more = true}) == Action::kYield);
    CHECK(machine.Serving());
    machine.Write(kNothing);
    CHECK(machine.Next({}) == Action::kWait);
    CHECK(machine.Finishing());
    machine.Sent();
    CHECK(machine.Next({}) == Action::kClose);
  }
  SECTION("the blocked command ends, later requests do not run, waiting output is sent") {
    SocketMachine machine;
    machine.Defer(kNothing);
    machine.Ended();
    CHECK(machine.Next({.more = true, .blocked = true}) == Action::kStopWaiting);
    CHECK_FALSE(machine.Serving());
    CHECK(machine.Next({.more = true}) == Action::kWait);
    machine.Sent();
    CHECK(machine.Next({.more = true}) == Action::kClose);
  }
}

TEST_CASE("a connection closes immediately, or after its last reply", "[socket-machine]") {
  SocketMachine machine;
  machine.Write(kNothing);
  CHECK(machine.Next({.closing = true}) == Action::kWait);
  machine.Sent();
  CHECK(machine.Next({.closing = true}) == Action::kLinger);
  CHECK(machine.Next({.drop_output = true, .closing = true}) == Action::kClose);
  SocketMachine broken;
  broken.Write(kNothing);
  broken.Broke();
  CHECK(broken.Next({.blocked = true}) == Action::kClose);
}

TEST_CASE("an operation that could not start is not waited for", "[socket-machine]") {
  SocketMachine machine;
  CHECK_THROWS_AS(machine.Defer(kNoMemory), std::bad_alloc);
  CHECK(machine.GetOutput() == Output::kIdle);
  CHECK_THROWS_AS(machine.Write(kNoMemory), std::bad_alloc);
  CHECK(machine.GetOutput() == Output::kIdle);
  machine.Defer(kNothing);
  CHECK_THROWS_AS(machine.Write(kNoMemory), std::bad_alloc);
  CHECK(machine.GetOutput() == Output::kDeferred);

  CHECK_THROWS_AS(machine.Watch(kNoMemory), std::bad_alloc);
  int begun = 0;
  machine.Watch([&begun] { ++begun; });
  machine.Watch([&begun] { ++begun; });
  CHECK(begun == 1);

  machine.Write([&machine] { machine.Sent(); });  // completed before it returned
  CHECK(machine.GetOutput() == Output::kIdle);
}

// A connection and a peer that act at random, with the thin loop that runs the actions.
class Conversing {
 public:
  explicit Conversing(unsigned seed) : random_(seed) {}

  // Returns the number of steps until it is closed; -1: never.
  int Run() {
    for (int step = 0; step < 2000; ++step) {
      // In the second half the peer reads, blocked commands are woken, and no new requests come.
      const bool ends = step > 1000;
      if (ends) {
        output_ = 0;
        now_.paused = now_.blocked = now_.more = false;
        OutputSent();
        if (!peer_ended_) {
          peer_ended_ = true;
          Wake();
        }
      } else {
        Happen();
      }
      if (sleeping_) {
        continue;
      }
      if (Act()) {
        return step;
      }
    }
    return -1;
  }

 private:
  bool Chance(unsigned one_in) { return random_() % one_in == 0; }
  void Wake() {
    sleeping_ = false;
    if (watched_) {
      watched_ = false;
      machine_.WatchEnded();
    }
  }
  void OutputSent() {
    if (machine_.GetOutput() != Output::kIdle && output_ == 0) {
      machine_.Sent();
      sleeping_ = sleeping_ && reading_;
    }
  }
  void Happen() {
    if (Chance(3)) {
      output_ = 0;
      now_.paused = false;
      OutputSent();
    }
    if (Chance(3)) {
      now_.blocked = false;
      sleeping_ = sleeping_ && reading_;
    }
    if (Chance(3)) {
      Wake();  // bytes arrived
    }
    if (Chance(200)) {
      peer_ended_ = true;
      Wake();
    }
  }
  // Simulates a run: some output, a blocked command, more to do.
  void RunRequests() {
    if (!machine_.Serving() || now_.blocked || now_.paused) {
      return;
    }
    now_.more = Chance(4);
    now_.blocked = Chance(5);
    now_.paused = Chance(5);
    output_ += now_.paused || Chance(2) ? 1 : 0;
    now_.space = !Chance(8);
  }
  // Returns true once closed.
  bool Act() {
    RunRequests();
    if (output_ > 0 && machine_.GetOutput() == Output::kIdle) {
      try {
        Chance(2) ? machine_.Defer([this] { Maybe(); }) : machine_.Write([this] { Maybe(); });
      } catch (const std::bad_alloc&) {
        return true;  // the connection ends, as expected
      }
    }
    reading_ = false;
    switch (machine_.Next(now_)) {
      case Action::kRead:
        CHECK_FALSE((now_.paused || now_.blocked || peer_said_so_));
        reading_ = sleeping_ = !peer_ended_;
        if (peer_ended_) {
          machine_.Ended();
          peer_said_so_ = true;
        }
        return false;
      case Action::kReceive:
        CHECK((now_.paused || now_.blocked));
        CHECK_FALSE(peer_said_so_);
        if (peer_ended_) {
          machine_.Ended();
          peer_said_so_ = true;
        } else {
          machine_.Emptied();
        }
        return false;
      case Action::kWatch:
        try {
          machine_.Watch([this] {
            Maybe();
            watched_ = true;
          });
        } catch (const std::bad_alloc&) {
          return true;
        }
        sleeping_ = true;
        if (peer_ended_) {
          Wake();
        }
        return false;
      case Action::kWait:
        CHECK((machine_.GetOutput() != Output::kIdle || now_.paused || now_.blocked));
        sleeping_ = true;
        return false;
      case Action::kYield:
        return false;
      case Action::kStopWaiting:
        CHECK(now_.blocked);
        now_.blocked = false;
        return false;
      case Action::kLinger:
      case Action::kClose:
        CHECK((peer_said_so_ || now_.closing));
        CHECK(machine_.GetOutput() == Output::kIdle);
        return true;
    }
    return true;
  }
  void Maybe() {
    if (Chance(50)) {
      throw std::bad_alloc();
    }
  }

  std::minstd_rand random_;
  SocketMachine machine_;
  Conversation now_;
  int output_ = 0;
  bool sleeping_ = false;
  bool reading_ = false;  // blocked in a read: only bytes, or the end, wake it
  bool watched_ = false;
  bool peer_ended_ = false;
  bool peer_said_so_ = false;
};

TEST_CASE("all random conversations end", "[socket-machine]") {
  for (unsigned seed = 1; seed <= 500; ++seed) {
    CAPTURE(seed);
    CHECK(Conversing(seed).Run() >= 0);
  }
}

}  // namespace
}  // namespace sluice::server
