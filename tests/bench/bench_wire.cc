// Measures the server, a bare program and redis-server in one run, in turns; prints a table and
// exits 0 only if every row with a bound holds. Ratios count, not absolute times.

#include <cstdio>
#include <exception>
#include <fstream>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "tests/bench/large_client.h"
#include "tests/bench/lineup.h"
#include "tests/bench/machine.h"
#include "tests/bench/report.h"
#include "tests/bench/timing.h"
#include "tests/bench/works/works.h"

namespace sluice::bench {
namespace {

constexpr std::string_view kUsage = R"(usage: bench_wire --server PATH --bare PATH [options]
  --server PATH    the server to measure; --ceiling instead puts the bare program in its place
  --bare PATH      the bare program (bench_bare)
  --redis PATH     redis-server (default: found by PATH)
  --quick          short slices, medians of 5: under 3 minutes
  --only REGEX     only the rows whose name it matches
  --markdown FILE  writes the table to FILE as well
  --self-test      only checks the client against the bare program
)";

struct Options {
  Programs programs;
  Plan plan{.slice_seconds = 1.0, .rounds = 9};
  std::string only;
  std::string markdown;
  bool ceiling = false;
  bool self_test = false;
};

// Throws std::invalid_argument.
Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) {
        throw std::invalid_argument(fmt::format("{} needs a value", name));
      }
      return argv[++i];
    };
    if (name == "--server") {
      options.programs.server = value();
    } else if (name == "--bare") {
      options.programs.bare = value();
    } else if (name == "--redis") {
      options.programs.redis = value();
    } else if (name == "--only") {
      options.only = value();
    } else if (name == "--markdown") {
      options.markdown = value();
    } else if (name == "--quick") {
      options.plan = {.slice_seconds = 0.3, .rounds = 5};
    } else if (name == "--ceiling") {
      options.ceiling = true;
    } else if (name == "--self-test") {
      options.self_test = true;
    } else {
      throw std::invalid_argument(fmt::format("unknown option {}", name));
    }
  }
  if (options.programs.bare.empty()) {
    throw std::invalid_argument("--bare is missing");
  }
  if (!options.self_test && options.ceiling != options.programs.server.empty()) {
    throw std::invalid_argument("either --server or --ceiling");
  }
  return options;
}

// Puts and gets over both kinds of socket, with contents compared; throws on a difference.
int SelfTest(const Options& options) {
  Lineup lineup(options.programs);
  const Contestant bare = lineup.StartBare();
  for (const Endpoint& endpoint : {bare.tcp, bare.unix_socket}) {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{16'384}, std::size_t{1} << 20}) {
      LargeClient client({.endpoint = endpoint, .value_bytes = bytes, .keys = 4});
      client.CheckContents();
      client.Put(0);
      client.CheckContents();
    }
  }
  fmt::print("self-test passed\n");
  return 0;
}

int Measure(const Options& options) {
  fmt::print("{}\n\n", DescribeMachine());
  std::fflush(stdout);
  const Stopwatch watch;
  Lineup lineup(options.programs);
  Report report{std::regex(options.only)};
  MeasureLarge(lineup, options.plan, report);
  MeasureSmall(lineup, options.plan, report);
  MeasureMemory(lineup, report);
  MeasurePing(lineup, options.plan, report);
  if (report.size() == 0) {
    throw std::runtime_error("no row has a name like that");
  }
  fmt::print("\n{}\n{:.0f} s\n", report.Markdown(), watch.Seconds());
  if (!options.markdown.empty()) {
    std::ofstream file(options.markdown);
    file << report.Markdown();
    if (!file.flush()) {
      throw std::runtime_error("cannot write " + options.markdown);
    }
  }
  return report.AllHold() ? 0 : 1;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    const auto options = sluice::bench::ParseOptions(argc, argv);
    sluice::bench::CatchInterrupts();
    return options.self_test ? sluice::bench::SelfTest(options) : sluice::bench::Measure(options);
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "bench_wire: {}\n{}", error.what(), sluice::bench::kUsage);
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_wire: {}\n", error.what());
    return 1;
  }
}
