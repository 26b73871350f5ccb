#include <array>
#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <sys/socket.h>

#include "tests/bench/large_client.h"
#include "tests/bench/works/works.h"
#include "tests/support/resp_encoder.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kRowBytes = std::size_t{64} << 10;
constexpr std::size_t kRows = 4096;
constexpr double kNeeded = 0.97;

// used_memory of INFO. The reply is one bulk string; its length says where it ends.
std::size_t UsedMemory(const Endpoint& endpoint) {
  const Fd socket = Connect(endpoint);
  const std::string request = tests::Encode({"INFO", "memory"});
  if (::send(socket.number(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    ThrowErrno("sending INFO");
  }
  constexpr std::string_view kName = "\nused_memory:";
  std::string reply;
  std::size_t value = std::string::npos;
  // The line is complete once a line end follows the name.
  while (value == std::string::npos || reply.find('\r', value) == std::string::npos) {
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(socket.number(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      throw std::runtime_error("INFO has no used_memory: " + reply);
    }
    reply.append(bytes.data(), static_cast<std::size_t>(got));
    const std::size_t name = reply.find(kName);
    value = name == std::string::npos ? name : name + kName.size();
  }
  std::size_t used = 0;
  std::from_chars(reply.data() + value, reply.data() + reply.size(), used);
  return used;
}

Row MemoryRow(std::string work, std::size_t before, std::size_t after) {
  constexpr double kStored = static_cast<double>(kRows * kRowBytes);
  constexpr double kMiB = 1024.0 * 1024.0;
  const double used = static_cast<double>(after) - static_cast<double>(before);
  const double ratio = kStored / used;
  return {.work = std::move(work),
          .ours = fmt::format("{:.1f} MiB stored", kStored / kMiB),
          .other = fmt::format("{:.1f} MiB used", used / kMiB),
          .ratio = Spread{.median = ratio, .min = ratio, .max = ratio},
          .needed = kNeeded};
}

}  // namespace

void MeasureMemory(Lineup& lineup, Report& report) {
  const std::string accounted = "4,096 rows of 64 KiB: stored / used_memory";
  const std::string resident = "4,096 rows of 64 KiB: stored / resident memory";
  if (!lineup.HasServer() || (!report.Wants(accounted) && !report.Wants(resident))) {
    return;
  }
  const Contestant ours = lineup.StartOurs({"--prealloc", "0"});
  // One row of another size first, so that the cost of a first command is not counted.
  const LargeClient warm_up({.endpoint = ours.tcp, .dialect = ours.dialect, .value_bytes = 4096});
  const std::size_t used_before = UsedMemory(ours.tcp);
  const std::size_t resident_before = ours.child->ResidentBytes();
  LargeClient rows(
      {.endpoint = ours.tcp, .dialect = ours.dialect, .value_bytes = kRowBytes, .keys = kRows});
  const std::size_t used_after = UsedMemory(ours.tcp);
  const std::size_t resident_after = ours.child->ResidentBytes();
  rows.CheckContents();
  if (report.Wants(accounted)) {
    report.Add(MemoryRow(accounted, used_before, used_after));
  }
  if (report.Wants(resident)) {
    report.Add(MemoryRow(resident, resident_before, resident_after));
  }
}

}  // namespace sluice::bench
