// sluice-server: wiring only. Builds the parts, connects them, waits for a signal or SHUTDOWN.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/version.h"
#include "server/config/config.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/server.h"
#include "server/housekeeper.h"
#include "server/net/io_thread.h"
#include "server/net/listener.h"
#include "server/net/metrics_listener.h"
#include "store/tensor/torch/loader.h"

namespace sluice::server {
namespace {

constexpr std::string_view kUsage =
    "Usage: sluice-server [file.conf] [--option value ...]...\n"
    "       sluice-server --version | --help\n\n"
    "Options, with their defaults. A configuration file has one option per line, without the\n"
    "dashes; conf/sluice.conf is an example with all of them.\n\n";

void PrintHelp() {
  fmt::print("{}", kUsage);
  for (const Option& option : Options()) {
    fmt::print("  --{} {}\n      {}\n", option.name,
               option.initial.empty() ? std::string_view("\"\"") : option.initial, option.summary);
  }
}

std::uint64_t RandomBits() {
  std::random_device random;  // 32 bits at a time
  return (std::uint64_t{random()} << 32U) | random();
}

int Fail(const Status& status) {
  fmt::print(stderr, "sluice-server: {}\n", status.Message());
  return 1;
}

std::vector<std::string> TorchModulePaths(const Config& config) {
  if (!config.libtorch_module.empty()) {
    return {config.libtorch_module};
  }
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  return {folder / "../store/tensor/torch/libsluice_torch.so", folder / "../lib/libsluice_torch.so",
          folder / "libsluice_torch.so"};
}

// Limits maxclients to the available descriptors, so that one connection more gets its error
// instead of waiting forever.
void FitClients(Config& config) {
  // Loops, listeners, log, modules; and the metrics listener.
  const rlim_t others = 32 + (config.metrics_port == 0 ? 0 : MetricsListener::kDescriptorsMax);
  const rlim_t wanted = static_cast<rlim_t>(config.maxclients) + others;
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::max(files.rlim_cur, std::min(files.rlim_max, wanted));
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < wanted) {
    config.maxclients = static_cast<std::int64_t>(std::max(files.rlim_cur, others + 1) - others);
    LogWarning("maxclients is {}: the system allows {} open files", config.maxclients.load(),
               files.rlim_cur);
  }
}

int Serve(Config& config) {
  boost::asio::io_context context;
  boost::asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&context](const boost::system::error_code& /*error*/, int signal) {
    LogNotice("signal {}: shutting down", signal);
    context.stop();
  });
  const SystemClock clock;
  auto arena = store::Arena::Make({.reserve_bytes = ArenaReserveBytes(),
                                   .prealloc_bytes = static_cast<std::size_t>(config.prealloc),
                                   .keep_bytes = ArenaKeepBytes(config)});
  if (!arena.ok()) {
    return Fail(arena.GetStatus());
  }
  store::Memory memory(*std::move(arena), ArenaReserveBytes() / 4);
  store::Store data(memory, clock, {.hashing = RandomBits(), .visible = RandomBits()});
  engine::Engine engine;
  Stats stats;
  store::TorchLoader torch(TorchModulePaths(config));
  Server server{.config = config,
                .clock = clock,
                .memory = memory,
                .store = data,
                .engine = engine,
                .stats = stats,
                .torch = &torch,
                .stop = [&context] { context.stop(); },
                .started_us = clock.NowUs(),
                .run_id = NewRunId()};
  data.AddListener(server.key_watchers);
  ApplyConfig(server);

  std::vector<std::unique_ptr<IoThread>> threads;
  for (std::int64_t i = 0; i < config.io_threads; ++i) {
    stats.threads.push_back(std::make_unique<ThreadStats>(CommandCount()));
    threads.push_back(std::make_unique<IoThread>(server, *stats.threads.back()));
  }
  Listener listener(server, threads);
  if (const Status status = listener.Open(); !status.ok()) {
    return Fail(status);
  }
  MetricsListener metrics(server);
  if (const Status status = metrics.Open(); !status.ok()) {
    return Fail(status);
  }
  threads.front()->ServeWaitersHere();
  for (const auto& thread : threads) {
    thread->Start();
  }
  std::optional<Housekeeper> housekeeper(server);

  LogNotice("sluice-server {} is ready: port {}, unix socket '{}'", kSluiceVersion,
            config.port.load(), config.unixsocket);
  const auto work = boost::asio::make_work_guard(context);
  context.run();

  housekeeper.reset();
  boost::asio::post(threads.front()->GetContext(), [&listener] { listener.Close(); });
  IoThread::StopAll(threads);
  LogNotice("bye");
  return 0;
}

int Main(std::span<char*> argv) {
  const std::vector<std::string_view> args(argv.begin() + 1, argv.end());
  for (const std::string_view arg : args) {
    if (arg == "--help" || arg == "-h") {
      PrintHelp();
      return 0;
    }
    if (arg == "--version" || arg == "-v") {
      fmt::print("sluice-server {}\n", kSluiceVersion);
      return 0;
    }
  }
  Config config;
  if (const Status status = config.ReadCommandLine(args); !status.ok()) {
    return Fail(status);
  }
  if (!OpenLog(config.loglevel, config.logfile)) {
    return Fail(Status(Code::kError, fmt::format("can't open the log file '{}'", config.logfile)));
  }
  // glibc would collect small freed blocks and join them in one step: 0.2 s after a million rows.
  mallopt(M_MXFAST, 0);
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c)
  FitClients(config);
  return Serve(config);
}

}  // namespace
}  // namespace sluice::server

int main(int argc, char** argv) {
  try {
    return sluice::server::Main({argv, static_cast<std::size_t>(argc)});
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "sluice-server: %s\n", error.what()));
    return 1;
  }
}
