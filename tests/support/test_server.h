// A whole server in one process, without sockets or threads: TestServer has the shared state,
// TestClient is one connection. client.Run({"PING"}) returns what a client would receive.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "server/connection/connection.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/server.h"
#include "tests/support/resp_encoder.h"

namespace sluice::tests {

// A clock that a test advances.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t NowUs() const override { return now_us_; }
  [[nodiscard]] std::int64_t WallUs() const override {
    if (throws_.exchange(false)) {
      throw std::runtime_error("thrown by a test");
    }
    return kEpochUs + now_us_;
  }
  void Advance(std::int64_t us) { now_us_ += us; }
  // The next WallUs() throws.
  void Throw() { throws_ = true; }

 private:
  static constexpr std::int64_t kEpochUs = 1700000000000000;  // a day in 2023
  std::atomic<std::int64_t> now_us_{1};
  mutable std::atomic<bool> throws_{false};
};

enum class UseClock { kManual, kSystem };

class TestServer {
 public:
  // A small arena, so that a test may have many; a maxmemory of 0: no limit.
  explicit TestServer(std::size_t arena_bytes = std::size_t{1} << 30,
                      UseClock clock = UseClock::kManual)
      : system_(clock == UseClock::kSystem),
        memory_(*store::Arena::Make({.reserve_bytes = arena_bytes}), arena_bytes / 4),
        store_(memory_, system_ ? static_cast<const Clock&>(system_clock_) : clock_,
               {.hashing = 42, .visible = 42}) {
    stats_.threads.push_back(std::make_unique<server::ThreadStats>(server::CommandCount()));
    config_.maxmemory = 0;
    config_.prealloc = 0;
    store_.AddListener(server_.key_watchers);
    server::ApplyConfig(server_);
  }

  server::Server& Get() { return server_; }
  server::Config& GetConfig() { return config_; }
  server::ThreadStats& GetStats() { return *stats_.threads.front(); }
  ManualClock& GetClock() { return clock_; }
  store::Memory& GetMemory() { return memory_; }
  // Without the lock: tests that use it have one thread.
  store::Store& GetStore() { return store_; }
  [[nodiscard]] bool Stopped() const { return stopped_; }
  // As the housekeeper does.
  std::int64_t EndLeases() {
    engine::Engine::Turn turn(engine_, server_.clock);
    return server_.streams.EndLeases(turn.Enter(), server_.clock.NowUs());
  }
  void RemoveExpired(store::RemovedNames& removed) {
    engine::Engine::Turn turn(engine_, server_.clock);
    server_.store(turn.Enter()).RemoveExpired(100, removed);
  }
  // As an I/O thread does when memory was freed.
  void ServeWaiters() {
    engine::Engine::Turn turn(engine_, server_.clock);
    turn.Enter();
  }
  // As CONFIG SET would.
  void Set(std::string_view option, std::string_view value) {
    const Status status = config_.Set(*server::FindOption(option), value);
    assert(status.ok());
    static_cast<void>(status);
    server::ApplyConfig(server_);
  }

 private:
  bool system_;
  server::Config config_;
  ManualClock clock_;
  SystemClock system_clock_;
  store::Memory memory_;
  store::Store store_;
  engine::Engine engine_;
  server::Stats stats_;
  std::atomic<bool> stopped_{false};
  server::Server server_{.config = config_,
                         .clock = system_ ? static_cast<const Clock&>(system_clock_) : clock_,
                         .memory = memory_,
                         .store = store_,
                         .engine = engine_,
                         .stats = stats_,
                         .stop = [this] { stopped_ = true; },
                         .run_id = server::NewRunId()};
};

class TestClient {
 public:
  explicit TestClient(TestServer& server)
      : server_(server), connection_(server.Get(), server.GetStats()) {
    connection_.Begin();
  }

  // Gives the connection `bytes`, in pieces of at most `segment` bytes, runs complete requests, and
  // returns all replies.
  std::string Feed(std::string_view bytes, std::size_t segment = SIZE_MAX) {
    std::string output;
    while (!bytes.empty() && !Closed()) {
      FeedSegment(bytes, segment);
      do {
        connection_.Run();
        output += TakeOutput();
      } while (connection_.Paused() || connection_.HasMore());
    }
    return output;
  }
  // Returns the reply to a blocked command, if it was woken or its time-out has passed.
  std::string Resume() {
    server_.ServeWaiters();
    connection_.Run();
    return TakeOutput();
  }
  // Like Feed, but the output stays in place (and only the connection allocates).
  void FeedOnly(std::string_view bytes) {
    while (!bytes.empty() && !Closed()) {
      FeedSegment(bytes, SIZE_MAX);
      do {
        connection_.Run();
      } while (connection_.HasMore() && !Closed());
    }
  }
  // Returns the reply to one command, as wire bytes.
  std::string Run(const std::vector<std::string>& words) { return Feed(Encode(words)); }

  // Sends the waiting output and returns it.
  std::string TakeOutput() {
    std::string bytes;
    std::array<iovec, 16> buffers = {};
    while (const std::size_t filled = connection_.Output().Gather(buffers, SIZE_MAX)) {
      std::size_t sent = 0;
      for (std::size_t i = 0; i < filled; ++i) {
        bytes.append(static_cast<const char*>(buffers[i].iov_base), buffers[i].iov_len);
        sent += buffers[i].iov_len;
      }
      connection_.Sent(sent);
    }
    return bytes;
  }
  server::Connection& Get() { return connection_; }
  [[nodiscard]] bool Closed() const { return connection_.Closing() || no_memory_; }

 private:
  // One read of the socket: removes the bytes read from the front of `bytes`.
  void FeedSegment(std::string_view& bytes, std::size_t segment) {
    std::array<std::span<char>, 2> space;
    try {
      space = connection_.ReadSpace();
    } catch (const std::bad_alloc&) {
      no_memory_ = true;  // the connection would close its socket here
      return;
    }
    std::size_t count = 0;
    for (const std::span<char> part : space) {
      const std::size_t taken = std::min({part.size(), bytes.size(), segment - count});
      if (taken > 0) {
        std::memcpy(part.data(), bytes.data(), taken);
      }
      bytes.remove_prefix(taken);
      count += taken;
    }
    connection_.Received(count);
  }

  TestServer& server_;
  server::Connection connection_;
  bool no_memory_ = false;
};

}  // namespace sluice::tests
