// Pause: the state of CLIENT PAUSE. Commands wait until the pause ends. Meanwhile the server itself
// gives no rows to tasks and removes none: leases do not expire, blocked fetches are not answered,
// and no row is evicted. (A name that has expired does not exist for readers.)
//
// Thread safety: any thread. A pause begins under the engine lock.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace sluice::engine {

struct Pause {
  std::atomic<std::int64_t> until_us{0};  // clock time; no pause if it is in the past
  std::atomic<bool> writes_only{false};

  [[nodiscard]] bool On(std::int64_t now_us) const { return now_us < until_us; }

  // Begins a pause, or adds to the present one: the later end and the stronger mode stay, as in
  // Redis. REQUIRES: the caller holds the engine lock.
  struct Request {
    std::int64_t until_us = 0;
    bool writes_only = false;
  };
  void Add(std::int64_t now_us, const Request& request) {
    const bool on = On(now_us);
    writes_only = request.writes_only && (!on || writes_only);
    until_us = on ? std::max(until_us.load(), request.until_us) : request.until_us;
  }
};

}  // namespace sluice::engine
