// Pinger: a client on a thread of its own that asks one small thing again and again, and notes how
// long each answer took: what others feel while a server is busy.
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
  // An inline command that `client` asks until Stop().
  explicit Pinger(SocketClient client, std::string command = "PING")
      : thread_([this, command = std::move(command), client = std::move(client)]() mutable {
          Ask(client, command);
        }) {}
  ~Pinger() { Stop(); }
  Pinger(const Pinger&) = delete;
  Pinger& operator=(const Pinger&) = delete;

  // Disconnects. What follows is for afterwards.
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  [[nodiscard]] std::size_t Count() const { return count_; }
  // The time that this share of the answers did not take longer than; 1: the longest. In ms.
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
  std::thread thread_;  // last: it uses the others
};

}  // namespace sluice::tests
