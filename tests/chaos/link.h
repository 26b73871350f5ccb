// Link: one connection of a thread that has many: requests go out and replies come in as the socket
// lets them, nothing blocks, and each reply is handed over together with what was asked.
//
// Thread safety: one thread.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/chaos/ledger.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/socket_client.h"

namespace sluice::tests::chaos {

using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

// What a reply will answer.
struct Asked {
  std::string text = {};               // the first words
  std::vector<Promise> promises = {};  // about the thread's own rows
  std::size_t exec_item = 0;           // of EXEC: where in its reply these are answered, from 1
  bool flush = false;                  // FLUSHALL
  bool write = false;                  // it may wait for room
  Clock::time_point due = Clock::time_point::max();  // max: it may wait for ever
  std::string partition = {};                        // of TASK.FETCH
  std::string task = {};
};

class Link {
 public:
  Link(SocketClient client, std::size_t slot) : slot_(slot), client_(std::move(client)) {}

  void Send(const Words& words, Asked asked);
  // What poll() is to look for. `now`: whether it reads again.
  [[nodiscard]] short Events(Clock::time_point now) const;
  [[nodiscard]] int Descriptor() const { return client_.Descriptor(); }
  // After poll(). False once the connection has ended; replies may be there still.
  bool Pump(short events);
  // The next reply that is whole. Throws std::runtime_error for what no server may send.
  std::optional<std::pair<Asked, Value>> Take();

  void ReadLaterThan(Clock::time_point until) { deaf_until_ = until; }
  void HalfClose() {
    half_closed_ = true;
    client_.HalfClose();
  }
  void Reset() { client_.Reset(); }
  [[nodiscard]] bool HalfClosed() const { return half_closed_; }
  [[nodiscard]] bool Deaf(Clock::time_point now) const { return now < deaf_until_; }
  [[nodiscard]] std::size_t Slot() const { return slot_; }
  std::deque<Asked>& Waiting() { return waiting_; }

 private:
  std::size_t slot_;  // among all connections of the test
  SocketClient client_;
  std::string output_;
  std::string input_;
  std::deque<Asked> waiting_;
  Clock::time_point deaf_until_ = {};
  bool half_closed_ = false;
};

}  // namespace sluice::tests::chaos
