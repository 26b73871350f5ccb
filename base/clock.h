// Clock: the server's source of time. Tests replace it to set the time.
//
// Thread safety: any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice {

// The time of day. Name expiry uses it.
class WallClock {
 public:
  // Microseconds since 1970.
  [[nodiscard]] virtual std::int64_t WallUs() const = 0;

 protected:
  ~WallClock() = default;
};

class Clock : public WallClock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  // Microseconds of a steady clock with an arbitrary start.
  [[nodiscard]] virtual std::int64_t NowUs() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t NowUs() const override {
    return Microseconds(std::chrono::steady_clock::now());
  }
  [[nodiscard]] std::int64_t WallUs() const override {
    return Microseconds(std::chrono::system_clock::now());
  }

 private:
  template <typename TimePoint>
  static std::int64_t Microseconds(TimePoint time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  }
};

}  // namespace sluice
