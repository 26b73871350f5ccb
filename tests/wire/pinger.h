// Pinger: a client on its own thread that sends one small command repeatedly and records the
// latencies: the effect of a busy server on other clients.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/socket_client.h"

namespace sluice::tests {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;  // slow, and its shadow memory is resident, too
#else
inline constexpr bool kSanitized = false;
#endif

class Pinger {
 public:
  // `client` sends this inline command until Stop().
  explicit Pinger(SocketClient client, std::string command = "PING")
      : thread_([this, command = std::move(command), client = std::move(client)]() mutable {
          Ask(client, command);
        }) {}
  ~Pinger() { Stop(); }
  Pinger(const Pinger&) = delete;
  Pinger& operator=(const Pinger&) = delete;

  // Disconnects. The following methods require it.
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  [[nodiscard]] std::size_t Count() const { return count_; }
  // Returns this quantile of the latencies in ms; 1: the maximum.
  [[nodiscard]] double QuantileMs(double share) {
    std::sort(times_ms_.begin(), times_ms_.end());
    const auto last = static_cast<double>(times_ms_.size() - 1);
    return times_ms_.empty() ? 0 : times_ms_[static_cast<std::size_t>(share * last)];
  }
  [[nodiscard]] const std::string& Failure() const { return failure_; }

 private:
  void Ask(SocketClient& client, const std::string& command) {
    try {
      while (!stop_) {
        const auto begin = std::chrono::steady_clock::now();
        const Value reply = client.Ask(command);
        const std::chrono::duration<double, std::milli> took =
            std::chrono::steady_clock::now() - begin;
        if (reply.type == '-') {
          throw std::runtime_error(reply.text);
        }
        times_ms_.push_back(took.count());
        ++count_;
      }
    } catch (const std::runtime_error& error) {
      failure_ = error.what();
    }
    client.Close();
  }

  std::vector<double> times_ms_;
  std::string failure_;
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;  // last: it uses the other members
};

}  // namespace sluice::tests
