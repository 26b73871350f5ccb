// Pause: the state of CLIENT PAUSE. Commands wait until the pause ends. Meanwhile the server itself
// gives no rows to tasks and removes none: leases do not expire, blocked fetches are not answered,
// and no row is evicted. (A name that has expired does not exist for readers.)
//
// Thread safety: any thread. A pause begins under the engine lock.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::engine {

struct Pause {
  std::atomic<std::int64_t> until_us{0};  // clock time; no pause if it is in the past
  std::atomic<bool> writes_only{false};

  [[nodiscard]] bool On(std::int64_t now_us) const { return now_us < until_us; }
};

}  // namespace sluice::engine
