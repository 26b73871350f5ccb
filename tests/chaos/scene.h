// State shared by all threads of the chaos test: the server, whether the test is ending, the number
// of replies (for the watchdog), and failures. Catch2 is not thread-safe, so failures are texts
// until the main thread reports them.
//
// Thread safety: any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/live_server.h"

namespace sluice::tests::chaos {

// Each row of this partition belongs to one thread: a Ledger can check it. Its limits change; only
// FLUSHALL removes another thread's rows.
inline constexpr const char* kKept = "kept";
inline constexpr std::size_t kThreads = 8;
inline constexpr std::size_t kLinks = 40;  // connections of each
inline constexpr int kWilds = 3;  // partitions "w0", "w1", ..., which all threads may change

struct Scene {
  static constexpr std::size_t kFailuresMax = 20;  // one cause usually produces many

  explicit Scene(LiveServer& live) : server(live) {}

  void Fail(std::string text) {
    const std::lock_guard lock(mutex);
    if (failures.size() < kFailuresMax) {
      failures.push_back(std::move(text));
    }
  }

  LiveServer& server;
  std::atomic<bool> ending{false};   // no thread starts a new request
  std::atomic<bool> closing{false};  // all requests have replies: threads may end
  std::atomic<std::int64_t> replies{0};
  std::atomic<int> dumps{0};  // how often each thread must print what its connections wait for
  // A row written after `flushes_done` FLUSHALLs exists as long as no further one began.
  std::atomic<std::int64_t> flushes_begun{0};
  std::atomic<std::int64_t> flushes_done{0};
  // Ids of the clients that may be killed and unblocked; 0 if not known yet.
  std::array<std::atomic<std::int64_t>, kThreads * kLinks> victims{};

  std::mutex mutex;
  std::vector<std::string> failures;
};

}  // namespace sluice::tests::chaos
