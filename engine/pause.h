// Pause: CLIENT PAUSE: until when commands of clients wait. Meanwhile nothing else gives rows to
// tasks or removes them: leases do not end, waiting fetches are not answered, nothing is evicted.
// (Names that have expired are gone to whoever reads them.)
//
// Thread safety: any thread. It begins under the engine lock.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::engine {

struct Pause {
  std::atomic<std::int64_t> until_us{0};  // of the clock; past: nobody waits
  std::atomic<bool> writes_only{false};

  [[nodiscard]] bool On(std::int64_t now_us) const { return now_us < until_us; }
};

}  // namespace sluice::engine
