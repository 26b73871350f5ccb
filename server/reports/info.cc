#include "server/reports/info.h"

#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/version.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/error_reply.h"
#include "server/dispatch/server.h"
#include "server/reports/memory_report.h"

namespace sluice::server {
namespace {

using Lines = fmt::memory_buffer;

template <typename Value>
void Line(Lines& out, std::string_view name, const Value& value) {
  fmt::format_to(std::back_inserter(out), "{}:{}\r\n", name, value);
}

std::string Human(std::int64_t bytes) {
  constexpr std::string_view kUnits = "BKMGT";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) {
    value /= 1024;
  }
  return unit == 0 ? fmt::format("{}B", bytes) : fmt::format("{:.2f}{}", value, kUnits[unit]);
}

void ServerSection(const Context& context, Lines& out) {
  const Server& server = context.server;
  utsname system = {};
  uname(&system);
  const std::int64_t uptime = (server.clock.NowUs() - server.started_us) / 1000000;
  Line(out, "redis_version", kRedisVersion);
  Line(out, "redis_mode", "standalone");
  Line(out, "server_name", "sluice");
  Line(out, "sluice_version", kSluiceVersion);
  Line(out, "os", fmt::format("{} {} {}", system.sysname, system.release, system.machine));
  Line(out, "arch_bits", 64);
  Line(out, "multiplexing_api", "epoll");
  Line(out, "process_id", getpid());
  Line(out, "run_id", server.run_id);
  Line(out, "tcp_port", server.config.port.load());
  Line(out, "server_time_usec", server.clock.WallUs());
  Line(out, "uptime_in_seconds", uptime);
  Line(out, "uptime_in_days", uptime / 86400);
  Line(out, "io_threads_active", server.config.io_threads.load());
  Line(out, "config_file", server.config.file);
}

void ClientsSection(const Context& context, Lines& out) {
  Line(out, "connected_clients", context.server.stats.Sum(&ThreadStats::connections));
  Line(out, "maxclients", context.server.config.maxclients.load());
  std::int64_t subscribers = 0;
  context.server.connections.ForEach([&subscribers](const ConnectionInfo& connection) {
    subscribers += connection.Subscribed() ? 1 : 0;
  });
  Line(out, "blocked_clients", context.server.blocked_clients.load());
  Line(out, "pubsub_clients", subscribers);
  Line(out, "monitors", context.server.monitors.load());
}

void MemorySection(const Context& context, Lines& out) {
  const MemoryReport memory = ReportMemory(context.server);
  Line(out, "used_memory", memory.used);
  Line(out, "used_memory_human", Human(memory.used));
  Line(out, "used_memory_rss", memory.resident);
  Line(out, "used_memory_rss_human", Human(memory.resident));
  Line(out, "used_memory_peak", memory.peak);
  Line(out, "used_memory_peak_human", Human(memory.peak));
  Line(out, "used_memory_payload", memory.payload);
  Line(out, "used_memory_payload_stored", memory.stored);
  Line(out, "used_memory_payload_in_flight", memory.in_flight);
  Line(out, "used_memory_bookkeeping", memory.bookkeeping);
  Line(out, "used_memory_clients", memory.connections);
  Line(out, "used_memory_dataset", memory.stored);
  Line(out, "total_system_memory", MachineMemoryBytes());
  Line(out, "total_system_memory_human", Human(MachineMemoryBytes()));
  Line(out, "lazyfree_pending_objects", 0);
  Line(out, "arena_free_bytes", memory.arena_free);
  Line(out, "arena_touched_ahead_bytes", memory.arena_touched_ahead);
  Line(out, "arena_reserved_bytes", memory.arena_reserved);
  Line(out, "maxmemory", memory.limit);
  Line(out, "maxmemory_human", Human(memory.limit));
  Line(out, "maxmemory_policy", context.server.config.maxmemory_policy);
  // Relative to all known memory: most memory of an idle server is touched ahead.
  const std::int64_t known = memory.used + memory.arena_free + memory.arena_touched_ahead;
  Line(out, "mem_fragmentation_ratio",
       fmt::format(
           "{:.2f}",
           known == 0 ? 0.0 : static_cast<double>(memory.resident) / static_cast<double>(known)));
}

// Nothing is saved yet: every change is one since the last save.
void PersistenceSection(const Context& context, Lines& out) {
  const Revision revision = context.server.store(context.turn.Enter()).LastRevision();
  Line(out, "loading", 0);
  Line(out, "rdb_changes_since_last_save", static_cast<std::int64_t>(revision));
  Line(out, "rdb_bgsave_in_progress", 0);
  Line(out, "rdb_last_bgsave_status", "ok");
  Line(out, "aof_enabled", 0);
  Line(out, "aof_last_write_status", "ok");
}

void StatsSection(const Context& context, Lines& out) {
  Server& server = context.server;
  const Stats& stats = server.stats;
  Line(out, "total_connections_received", stats.Sum(&ThreadStats::accepted_connections));
  Line(out, "total_commands_processed", stats.Sum(&ThreadStats::commands));
  const Rates& rates = context.server.rates;
  constexpr double kKilobyte = 1024;
  Line(out, "instantaneous_ops_per_sec", rates.commands.load());
  Line(out, "instantaneous_input_kbps",
       fmt::format("{:.2f}", static_cast<double>(rates.input_bytes) / kKilobyte));
  Line(out, "instantaneous_output_kbps",
       fmt::format("{:.2f}", static_cast<double>(rates.output_bytes) / kKilobyte));
  Line(out, "total_net_input_bytes", stats.Sum(&ThreadStats::input_bytes));
  Line(out, "total_net_output_bytes", stats.Sum(&ThreadStats::output_bytes));
  Line(out, "rejected_connections", stats.Sum(&ThreadStats::rejected_connections));
  Line(out, "keyspace_hits", stats.Sum(&ThreadStats::keyspace_hits));
  Line(out, "keyspace_misses", stats.Sum(&ThreadStats::keyspace_misses));
  Line(out, "pubsub_channels", server.subscriptions.Count(Channels::kPlain));
  Line(out, "pubsub_patterns", server.subscriptions.Count(Channels::kPattern));
  Line(out, "pubsubshard_channels", server.subscriptions.Count(Channels::kShard));
  Line(out, "slowlog_len", server.slow_log.Size());
  Line(out, "evicted_keys", 0);
  Line(out, "expired_keys", context.server.store(context.turn.Enter()).ExpiredNames());
  Line(out, "total_error_replies", stats.Sum(&ThreadStats::error_replies));
  Line(out, "protocol_errors", stats.Sum(&ThreadStats::protocol_errors));
  Line(out, "client_query_buffer_limit_disconnections",
       stats.Sum(&ThreadStats::query_limit_disconnections));
  Line(out, "client_output_buffer_limit_disconnections",
       stats.Sum(&ThreadStats::output_limit_disconnections));
}

void ReplicationSection(const Context& /*context*/, Lines& out) {
  Line(out, "role", "master");
  Line(out, "connected_slaves", 0);
  Line(out, "master_repl_offset", 0);
}

void CpuSection(const Context& /*context*/, Lines& out) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  Line(out, "used_cpu_sys", fmt::format("{}.{:06}", usage.ru_stime.tv_sec, usage.ru_stime.tv_usec));
  Line(out, "used_cpu_user",
       fmt::format("{}.{:06}", usage.ru_utime.tv_sec, usage.ru_utime.tv_usec));
}

void CommandStatsSection(const Context& context, Lines& out) {
  for (const auto family : Families()) {
    for (const Command& row : family) {
      const CommandTotals stats = context.server.stats.SumOf(OrdinalOf(row));
      if (stats.calls + stats.rejected > 0) {
        Line(out, fmt::format("cmdstat_{}", row.name),
             fmt::format("calls={},usec={},usec_per_call={:.2f},rejected_calls={},failed_calls={}",
                         stats.calls, stats.microseconds,
                         stats.calls == 0 ? 0.0
                                          : static_cast<double>(stats.microseconds) /
                                                static_cast<double>(stats.calls),
                         stats.rejected, stats.failed));
      }
    }
  }
}

void HoldsSection(const Context& context, Lines& out) {
  const Stats& stats = context.server.stats;
  for (const auto family : Families()) {
    for (const Command& row : family) {
      const std::int64_t longest_us = stats.LongestHoldUs(OrdinalOf(row));
      if (longest_us > 0) {
        Line(out, fmt::format("hold_{}", row.name), fmt::format("max_us={}", longest_us));
      }
    }
  }
  const std::pair<std::string_view, std::int64_t> others[] = {
      {"hold_housekeeper", stats.housekeeper_hold_us.Get()},
      {"hold_disconnect", stats.LongestDisconnectHoldUs()},
      {"hold_metrics", stats.metrics_hold_us.Get()}};
  for (const auto& [name, longest_us] : others) {
    Line(out, name, fmt::format("max_us={}", longest_us));
  }
}

void ErrorStatsSection(const Context& context, Lines& out) {
  const Stats& stats = context.server.stats;
  for (const ErrorPrefix& prefix : ErrorPrefixes()) {
    const std::int64_t count = stats.SumErrors(prefix.code);
    if (count > 0) {
      Line(out, fmt::format("errorstat_{}", prefix.text), fmt::format("count={}", count));
    }
  }
}

void ClusterSection(const Context& /*context*/, Lines& out) {
  Line(out, "cluster_enabled", 0);
}

void KeyspaceSection(const Context& context, Lines& out) {
  const store::Store& store = context.server.store(context.turn.Enter());
  if (store.Names() > 0) {
    Line(out, "db0",
         fmt::format("keys={},expires={},avg_ttl={}", store.Names(), store.Expiries(),
                     store.AverageTtlMs()));
  }
}

struct Section {
  std::string_view name;
  void (*write)(const Context&, Lines&);
};

constexpr Section kSections[] = {
    {"Server", ServerSection},   {"Clients", ClientsSection},
    {"Memory", MemorySection},   {"Persistence", PersistenceSection},
    {"Stats", StatsSection},     {"Replication", ReplicationSection},
    {"CPU", CpuSection},         {"Commandstats", CommandStatsSection},
    {"Holds", HoldsSection},     {"Errorstats", ErrorStatsSection},
    {"Cluster", ClusterSection}, {"Partitions", PartitionsSection},
    {"Tasks", TasksSection},     {"Keyspace", KeyspaceSection},
};

bool Wanted(std::string_view section, RequestView names) {
  const bool by_command = section == "Commandstats" || section == "Holds";  // one line per command
  if (names.empty()) {
    return !by_command;
  }
  for (const RequestArg& name : names) {
    const bool many =
        EqualsIgnoreCase(name.text, "all") || EqualsIgnoreCase(name.text, "everything");
    const bool usual = EqualsIgnoreCase(name.text, "default") && !by_command;
    if (many || usual || EqualsIgnoreCase(name.text, section)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string InfoText(const Context& context, RequestView sections) {
  Lines out;
  for (const Section& section : kSections) {
    if (Wanted(section.name, sections)) {
      fmt::format_to(std::back_inserter(out), "{}# {}\r\n", out.size() == 0 ? "" : "\r\n",
                     section.name);
      section.write(context, out);
    }
  }
  return fmt::to_string(out);
}

}  // namespace sluice::server
