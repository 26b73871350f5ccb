// Link: one of a thread's many non-blocking connections. Requests and replies move as far as the
// socket allows; each reply is returned together with its request.
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

// The request that a reply belongs to.
struct Asked {
  std::string text = {};               // the first words
  std::vector<Promise> promises = {};  // on the thread's own rows
  std::size_t exec_item = 0;           // of EXEC: index, from 1, of their reply in EXEC's array
  bool flush = false;                  // FLUSHALL
  bool write = false;                  // it may wait for memory or a full partition
  Clock::time_point due = Clock::time_point::max();  // max: it may wait forever
  std::string partition = {};                        // of TASK.FETCH
  std::string task = {};
};

class Link {
 public:
  Link(SocketClient client, std::size_t slot) : slot_(slot), client_(std::move(client)) {}

  void Send(const Words& words, Asked asked);
  // The events for poll(). `now`: decides whether the link reads again.
  [[nodiscard]] short Events(Clock::time_point now) const;
  [[nodiscard]] int Descriptor() const { return client_.Descriptor(); }
  // After poll(). Returns false once the connection has ended; replies may be left.
  bool Pump(short events);
  // Returns the next complete reply. Throws std::runtime_error for an invalid one.
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
