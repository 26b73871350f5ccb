// Pause: CLIENT PAUSE: until when commands of clients wait.
//
// Thread safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::server {

struct Pause {
  std::atomic<std::int64_t> until_us{0};  // of the clock; past: nobody waits
  std::atomic<bool> writes_only{false};
};

}  // namespace sluice::server
