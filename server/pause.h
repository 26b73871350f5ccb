// Pause: CLIENT PAUSE: until when commands of clients wait. Meanwhile nothing else changes what is
// stored, either: leases do not end, names do not expire, rows are not evicted.
//
// Thread safety: any thread. It begins under the engine lock.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::server {

struct Pause {
  std::atomic<std::int64_t> until_us{0};  // of the clock; past: nobody waits
  std::atomic<bool> writes_only{false};

  [[nodiscard]] bool On(std::int64_t now_us) const { return now_us < until_us; }
};

}  // namespace sluice::server
