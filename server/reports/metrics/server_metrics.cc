// Metrics of the server, its clients, memory and names.
#include <sys/resource.h>

#include "base/version.h"
#include "server/dispatch/server.h"
#include "server/reports/memory_report.h"
#include "server/reports/metrics/families.h"

namespace sluice::server {
namespace {

std::int64_t Microseconds(const timeval& time) {
  return std::int64_t{time.tv_sec} * 1000000 + time.tv_usec;
}

}  // namespace

void ServerMetrics(Server& server, PrometheusText& text) {
  text.Gauge("build_info",
             "Always 1; the labels are the version of Sluice and the compatible Redis version.");
  text.Sample({{"version", kSluiceVersion}, {"redis_version", kRedisVersion}}, std::int64_t{1});
  text.Gauge("uptime_seconds", "Time since the server started.");
  text.Sample({}, SecondsOf(server.clock.NowUs() - server.started_us));
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  text.Counter("cpu_seconds_total", "Processor time of the process.");
  text.Sample({{"mode", "user"}}, SecondsOf(Microseconds(usage.ru_utime)));
  text.Sample({{"mode", "system"}}, SecondsOf(Microseconds(usage.ru_stime)));
}

void ClientMetrics(Server& server, PrometheusText& text) {
  const Stats& stats = server.stats;
  text.Gauge("connections", "Open client connections.");
  text.Sample({}, stats.Total(&ThreadStats::connections));
  text.Gauge("connections_max", "The option maxclients.");
  text.Sample({}, server.config.maxclients.load());
  text.Counter("connections_accepted_total", "Connections that were accepted.");
  text.Sample({}, stats.Total(&ThreadStats::accepted_connections));
  text.Counter("connections_rejected_total",
               "Connections that were refused: over maxclients, or denied by protected mode.");
  text.Sample({}, stats.Total(&ThreadStats::rejected_connections));
  text.Counter("connections_cut_total", "Connections that the server closed, by reason.");
  text.Sample({{"reason", "output_limit"}}, stats.Total(&ThreadStats::output_limit_disconnections));
  text.Sample({{"reason", "query_limit"}}, stats.Total(&ThreadStats::query_limit_disconnections));
  text.Sample({{"reason", "protocol_error"}}, stats.Total(&ThreadStats::protocol_errors));
  text.Counter("network_received_bytes_total", "Bytes from clients.");
  text.Sample({}, stats.Total(&ThreadStats::input_bytes));
  text.Counter("network_sent_bytes_total", "Bytes to clients.");
  text.Sample({}, stats.Total(&ThreadStats::output_bytes));

  std::int64_t subscribers = 0;
  server.connections.ForEach([&subscribers](const ConnectionInfo& connection) {
    subscribers += connection.Subscribed() ? 1 : 0;
  });
  text.Gauge("blocked_clients", "Clients with a blocked command.");
  text.Sample({}, server.blocked_clients.load());
  text.Gauge("pubsub_clients", "Clients with a subscription.");
  text.Sample({}, subscribers);
  text.Gauge("monitor_clients", "Clients in MONITOR.");
  text.Sample({}, std::int64_t{server.monitors.load()});
  text.Gauge("pubsub_channels", "Channels and patterns with a subscriber, by kind.");
  text.Sample({{"kind", "channel"}}, server.subscriptions.Count(Channels::kPlain));
  text.Sample({{"kind", "pattern"}}, server.subscriptions.Count(Channels::kPattern));
  text.Sample({{"kind", "shard_channel"}}, server.subscriptions.Count(Channels::kShard));
}

void MemoryMetrics(Server& server, PrometheusText& text) {
  const MemoryReport memory = ReportMemory(server);
  text.Gauge("memory_bytes", "Memory that counts in maxmemory, by kind.");
  text.Sample({{"kind", "stored"}}, memory.stored);
  text.Sample({{"kind", "in_flight"}}, memory.in_flight);
  text.Sample({{"kind", "bookkeeping"}}, memory.bookkeeping);
  text.Sample({{"kind", "clients"}}, memory.connections);
  text.Gauge("memory_used_bytes", "The sum of memory_bytes.");
  text.Sample({}, memory.used);
  text.Gauge("memory_used_peak_bytes", "The largest value of memory_used_bytes.");
  text.Sample({}, memory.peak);
  text.Gauge("memory_limit_bytes", "The option maxmemory; 0 if there is no limit.");
  text.Sample({}, memory.limit);
  text.Gauge("memory_resident_bytes", "Resident memory of the process, as the system reports it.");
  text.Sample({}, memory.resident);
  text.Gauge("arena_bytes", "Memory for values that holds no value, by state.");
  text.Sample({{"state", "free"}}, memory.arena_free);
  text.Sample({{"state", "touched_ahead"}}, memory.arena_touched_ahead);
}

void NameMetrics(Server& server, PrometheusText& text) {
  std::int64_t partitions = 0;
  std::int64_t names = 0;
  std::int64_t expiries = 0;
  std::int64_t average_ttl_ms = 0;
  std::int64_t expired = 0;
  {
    engine::Engine::Turn turn(server.engine, server.clock);
    engine::EngineLock& lock = turn.Enter();
    partitions = static_cast<std::int64_t>(server.store(lock).Partitions());
    names = static_cast<std::int64_t>(server.store(lock).Names());
    expiries = static_cast<std::int64_t>(server.store(lock).Expiries());
    average_ttl_ms = server.store(lock).AverageTtlMs();
    expired = server.store(lock).ExpiredNames();
  }
  text.Gauge("names", "Names in the store, by kind.");
  text.Sample({{"kind", "partition"}}, partitions);
  text.Sample({{"kind", "string"}}, names - partitions);
  text.Gauge("names_with_expiry", "Names that have an expiry.");
  text.Sample({}, expiries);
  text.Gauge("names_average_ttl_seconds", "Mean time to live of the names that have an expiry.");
  text.Sample({}, static_cast<double>(average_ttl_ms) / 1e3);
  text.Counter("names_expired_total", "Names that have expired.");
  text.Sample({}, expired);
  text.Counter("lookups_total", "Look-ups of byte strings, by result.");
  text.Sample({{"result", "hit"}}, server.stats.Total(&ThreadStats::keyspace_hits));
  text.Sample({{"result", "miss"}}, server.stats.Total(&ThreadStats::keyspace_misses));
}

}  // namespace sluice::server
