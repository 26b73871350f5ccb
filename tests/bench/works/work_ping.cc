#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <sys/socket.h>

#include "tests/bench/large_client.h"
#include "tests/bench/works/works.h"
#include "tests/support/resp_encoder.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kValueBytes = std::size_t{64} << 20;
constexpr auto kPause = std::chrono::microseconds(200);  // PING observes, it is not the load

void Ping(const Fd& socket) {
  static const std::string kRequest = tests::Encode({"PING"});
  std::array<char, 64> reply{};
  if (::send(socket.number(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0 ||
      ::recv(socket.number(), reply.data(), reply.size(), 0) <= 0) {
    ThrowErrno("PING");
  }
}

// "p50 0.02 ms, p99 0.10 ms, max 0.20 ms"
std::string MeasurePings(const Endpoint& endpoint, double seconds) {
  const Fd socket = Connect(endpoint);
  Ping(socket);
  std::vector<double> milliseconds;
  for (const Stopwatch total; total.Seconds() < seconds;) {
    ThrowIfInterrupted();
    const Stopwatch watch;
    Ping(socket);
    milliseconds.push_back(watch.Seconds() * 1e3);
    std::this_thread::sleep_for(kPause);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  const std::size_t count = milliseconds.size();
  return fmt::format("p50 {:.2f} ms, p99 {:.2f} ms, max {:.2f} ms", milliseconds[count / 2],
                     milliseconds[count * 99 / 100], milliseconds.back());
}

// Gets one 64 MB value repeatedly on its own thread until it is destroyed.
class Load {
 public:
  explicit Load(const Contestant& contestant)
      : client_({.endpoint = contestant.tcp,
                 .dialect = contestant.dialect,
                 .value_bytes = kValueBytes}),
        thread_([this] { Run(); }) {}

  ~Load() { Stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Returns the number of gets; rethrows an exception of the thread.
  std::size_t Finish() {
    Stop();
    if (failure_) {
      std::rethrow_exception(failure_);
    }
    return count_;
  }

 private:
  void Run() {
    try {
      for (; !stopping_; ++count_) {
        client_.Get(0);
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  void Stop() {
    stopping_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  LargeClient client_;
  std::atomic<bool> stopping_ = false;
  std::size_t count_ = 0;
  std::exception_ptr failure_;
  std::thread thread_;
};

void AddPingRow(const Contestant& contestant, const std::string& work, double seconds,
                Report& report) {
  const std::string idle = MeasurePings(contestant.tcp, seconds);
  Load load(contestant);
  const Stopwatch watch;
  const std::string busy = MeasurePings(contestant.tcp, seconds);
  const double rate = static_cast<double>(load.Finish() * kValueBytes) / watch.Seconds();
  report.Add({.work = fmt::format("{} at {}; idle", work, FormatRate(rate)),
              .ours = busy,
              .other = idle,
              .ratio = std::nullopt,
              .needed = std::nullopt});
}

}  // namespace

void MeasurePing(Lineup& lineup, const Plan& plan, Report& report) {
  const double seconds = plan.slice_seconds * plan.rounds;
  const std::string our_work = "PING while 64 MB are got";
  const std::string redis_work = "the same with redis";
  if (report.Wants(our_work)) {
    AddPingRow(lineup.StartOurs(), our_work, seconds, report);
    AddPingRow(lineup.StartRedis(), redis_work, seconds, report);
  }
}

}  // namespace sluice::bench
