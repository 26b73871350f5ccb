// WallClock: the time of day, which decides when names expire.
//
// Thread safety: any thread.
#pragma once

#include <cstdint>

namespace sluice::store {

class WallClock {
 public:
  // Microseconds since 1970.
  [[nodiscard]] virtual std::int64_t WallUs() const = 0;

 protected:
  ~WallClock() = default;
};

}  // namespace sluice::store
