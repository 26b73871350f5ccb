#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/bench/small_puts.h"
#include "tests/bench/works/works.h"

namespace sluice::bench {
namespace {

constexpr double kNeeded = 0.8;

// One program's figures over all rounds.
struct Series {
  explicit Series(const Contestant& who) : contestant(who), client(who.tcp, who.dialect) {}

  void MeasureSlice(double seconds) {
    const double cpu_before = contestant.child->CpuSeconds();
    const Stopwatch watch;
    const SmallPuts::Slice slice = client.Run(seconds);
    server_cpu_seconds += contestant.child->CpuSeconds() - cpu_before;
    measured_seconds += watch.Seconds();
    rates.push_back(slice.puts_per_second);
    client_cpu_shares.push_back(slice.client_cpu_share);
  }

  std::string Cpu() const {
    return fmt::format("{}: client {:.0f} % of a core, server {:.0f} %", contestant.name,
                       100 * SpreadOf(client_cpu_shares).median,
                       100 * server_cpu_seconds / measured_seconds);
  }

  std::string Rate() const { return fmt::format("{:.2f} M/s", SpreadOf(rates).median / 1e6); }

  const Contestant& contestant;
  SmallPuts client;
  std::vector<double> rates;
  std::vector<double> client_cpu_shares;
  double server_cpu_seconds = 0;
  double measured_seconds = 0;
};

}  // namespace

void MeasureSmall(Lineup& lineup, const Plan& plan, Report& report) {
  const std::string work = "put 64 bytes, 50 connections, pipeline 16, TCP / redis";
  if (!lineup.HasServer() || !report.Wants(work)) {
    return;
  }
  const Contestant ours = lineup.StartOurs();
  const Contestant redis = lineup.StartRedis();
  Series our_series(ours);
  Series redis_series(redis);
  for (int round = 0; round < plan.rounds; ++round) {
    const bool ours_first = round % 2 == 0;
    (ours_first ? our_series : redis_series).MeasureSlice(plan.slice_seconds);
    (ours_first ? redis_series : our_series).MeasureSlice(plan.slice_seconds);
  }
  report.Add({.work = work,
              .ours = our_series.Rate(),
              .other = redis_series.Rate(),
              .ratio = RatioOf(our_series.rates, redis_series.rates),
              .needed = kNeeded});
  report.Remark(fmt::format("CPU at 64 bytes. {}; {}.", our_series.Cpu(), redis_series.Cpu()));
}

}  // namespace sluice::bench
