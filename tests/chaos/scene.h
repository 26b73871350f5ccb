// What all threads of the chaos test share: the server, whether the end has come, how far the
// replies have come (the watchdog looks at it), and what has failed. Catch2 is not thread-safe, so
// failures are texts here until the main thread reports them.
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

// Rows of this partition belong to one thread each: they are what a Ledger can check. Its limits
// move; nothing but FLUSHALL removes another thread's rows.
inline constexpr const char* kKept = "kept";
inline constexpr std::size_t kThreads = 8;
inline constexpr std::size_t kLinks = 40;  // connections of each
inline constexpr int kWilds = 3;  // partitions "w0", "w1", ..., with which everybody does anything

struct Scene {
  static constexpr std::size_t kFailuresMax = 20;  // one cause usually gives many

  explicit Scene(LiveServer& live) : server(live) {}

  void Fail(std::string text) {
    const std::lock_guard lock(mutex);
    if (failures.size() < kFailuresMax) {
      failures.push_back(std::move(text));
    }
  }

  LiveServer& server;
  std::atomic<bool> ending{false};   // nobody starts anything new
  std::atomic<bool> closing{false};  // all is answered: threads may end
  std::atomic<std::int64_t> replies{0};
  std::atomic<int> dumps{0};  // how often each thread is to print what its connections wait for
  // FLUSHALL: a row that was written after `flushes_done` of them is there while no other began.
  std::atomic<std::int64_t> flushes_begun{0};
  std::atomic<std::int64_t> flushes_done{0};
  // The numbers of clients that may be killed and unblocked; 0: not known yet.
  std::array<std::atomic<std::int64_t>, kThreads * kLinks> victims{};

  std::mutex mutex;
  std::vector<std::string> failures;
};

}  // namespace sluice::tests::chaos
