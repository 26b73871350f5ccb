#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tests/bench/large_client.h"
#include "tests/bench/works/works.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Size {
  std::size_t bytes;
  std::size_t keys;
  double needed_against_redis;  // a default Redis takes fresh memory for every large value
};

constexpr std::array<Size, 2> kSizes = {
    {{.bytes = kMiB, .keys = 16, .needed_against_redis = 1.1},
     {.bytes = 8 * kMiB, .keys = 8, .needed_against_redis = 5}}};
constexpr double kNeededAgainstBare = 0.9;
constexpr double kNeededAgainstTunedRedis = 1.1;

struct Opponent {
  const Contestant& contestant;
  Dialect dialect;
  std::string label;
  std::optional<double> needed;
};

// One direction over one kind of socket.
struct Work {
  Size size;
  bool is_put;
  bool is_unix;

  std::string Name() const {
    return fmt::format("{} {} MiB, {}", is_put ? "put" : "get", size.bytes / kMiB,
                       is_unix ? "Unix" : "TCP");
  }
};

LargeClient ClientOf(const Work& work, const Contestant& contestant, Dialect dialect) {
  return LargeClient({.endpoint = work.is_unix ? contestant.unix_socket : contestant.tcp,
                      .dialect = dialect,
                      .value_bytes = work.size.bytes,
                      .keys = work.size.keys});
}

// Bytes moved by one client, and the time taken.
struct Moved {
  double bytes = 0;
  double seconds = 0;
};

// Puts or gets for about `seconds` and adds the bytes moved.
void TakeTurn(LargeClient& client, const Work& work, double seconds, Moved& moved) {
  constexpr std::size_t kWarmUp = 2;  // warms the process and its caches after others have run
  const auto request = [&](std::size_t i) {
    const std::size_t key = i % work.size.keys;
    work.is_put ? client.Put(key) : client.Get(key);
  };
  for (std::size_t i = 0; i < kWarmUp; ++i) {
    request(i);
  }
  const Stopwatch watch;
  double elapsed = 0;
  for (std::size_t i = kWarmUp; elapsed < seconds; ++i) {
    ThrowIfInterrupted();
    request(i);
    moved.bytes += static_cast<double>(work.size.bytes);
    elapsed = watch.Seconds();
  }
  moved.seconds += elapsed;
}

// Bytes per second by client, then by round. In a round the clients alternate several times, so
// that a momentary disturbance of the machine affects all of them; the first client rotates.
std::vector<std::vector<double>> MeasureRounds(std::vector<LargeClient>& clients, const Work& work,
                                               const Plan& plan) {
  constexpr std::size_t kTurns = 6;
  std::vector<std::vector<double>> rates(clients.size());
  for (int round = 0; round < plan.rounds; ++round) {
    std::vector<Moved> moved(clients.size());
    for (std::size_t turn = 0; turn < kTurns; ++turn) {
      for (std::size_t i = 0; i < clients.size(); ++i) {
        const std::size_t who = (i + turn) % clients.size();
        TakeTurn(clients[who], work, plan.slice_seconds / kTurns, moved[who]);
      }
    }
    for (std::size_t i = 0; i < clients.size(); ++i) {
      rates[i].push_back(moved[i].bytes / moved[i].seconds);
    }
  }
  for (LargeClient& client : clients) {
    client.CheckContents();
  }
  return rates;
}

// The first client is Sluice's, the others are the opponents'.
void MeasureWork(const Contestant& ours, const std::vector<Opponent>& opponents, const Work& work,
                 const Plan& plan, Report& report) {
  const auto row_name = [&](const Opponent& opponent) {
    return fmt::format("{} / {}", work.Name(), opponent.label);
  };
  std::vector<LargeClient> clients;
  std::vector<const Opponent*> wanted;
  clients.push_back(ClientOf(work, ours, ours.dialect));
  for (const Opponent& opponent : opponents) {
    if (report.Wants(row_name(opponent))) {
      wanted.push_back(&opponent);
      clients.push_back(ClientOf(work, opponent.contestant, opponent.dialect));
    }
  }
  if (wanted.empty()) {
    return;
  }
  const auto rates = MeasureRounds(clients, work, plan);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    report.Add({.work = row_name(*wanted[i]),
                .ours = FormatRate(SpreadOf(rates[0]).median),
                .other = FormatRate(SpreadOf(rates[i + 1]).median),
                .ratio = RatioOf(rates[0], rates[i + 1]),
                .needed = wanted[i]->needed});
  }
}

}  // namespace

void MeasureLarge(Lineup& lineup, const Plan& plan, Report& report) {
  const Contestant ours = lineup.StartOurs();
  const Contestant bare = lineup.StartBare();
  const Contestant redis = lineup.StartRedis();
  const Contestant tuned = lineup.StartTunedRedis();
  for (const Size& size : kSizes) {
    std::vector<Opponent> opponents = {
        {bare, Dialect::kString, "bare", kNeededAgainstBare},
        {redis, Dialect::kString, "redis", size.needed_against_redis},
        {tuned, Dialect::kString, "redis tuned", kNeededAgainstTunedRedis}};
    if (lineup.HasServer()) {
      opponents.push_back({ours, Dialect::kString, "ours by SET and GET", std::nullopt});
    }
    for (const bool is_put : {true, false}) {
      for (const bool is_unix : {false, true}) {
        MeasureWork(ours, opponents, {.size = size, .is_put = is_put, .is_unix = is_unix}, plan,
                    report);
      }
    }
  }
}

}  // namespace sluice::bench
