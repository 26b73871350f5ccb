// The table of options. conf/sluice.conf has the same options in the same order; a test compares
// them.
#include <array>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/config/config.h"

namespace sluice::server {
namespace {

using Kind = Option::Kind;

constexpr std::array<std::string_view, 1> kPolicies = {"noeviction"};
constexpr std::array<std::string_view, 1> kSave = {""};
constexpr std::array<std::string_view, 1> kNo = {"no"};
constexpr std::array<std::string_view, 1> kYes = {"yes"};
constexpr std::array<std::string_view, 4> kLevels = {"debug", "verbose", "notice", "warning"};

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

constexpr std::array kOptions = {
    Option{.name = "bind",
           .initial = "127.0.0.1 -::1",
           .summary = "Addresses to listen on; an address with a leading '-' may be missing.",
           .immutable = true,
           .text = &Config::bind},
    Option{.name = "port",
           .kind = Kind::kNumber,
           .initial = "6390",
           .summary = "TCP port; 0: none.",
           .immutable = true,
           .max = 65535,
           .number = &Config::port},
    Option{.name = "metrics-port",
           .kind = Kind::kNumber,
           .initial = "0",
           .summary =
               "TCP port, on the same addresses, that serves GET /metrics to Prometheus without "
               "a password; 0: none.",
           .immutable = true,
           .max = 65535,
           .number = &Config::metrics_port},
    Option{.name = "unixsocket",
           .initial = "",
           .summary = "Path of a Unix socket to listen on; half the cost of TCP on one machine.",
           .immutable = true,
           .text = &Config::unixsocket},
    Option{.name = "unixsocketperm",
           .initial = "700",
           .summary = "Mode of the Unix socket, octal.",
           .immutable = true,
           .text = &Config::unixsocketperm},
    Option{.name = "protected-mode",
           .kind = Kind::kBool,
           .initial = "yes",
           .summary = "Refuse peers from other machines while there is no password.",
           .number = &Config::protected_mode},
    Option{.name = "requirepass",
           .initial = "",
           .summary = "Password for AUTH and HELLO; empty: no password is required.",
           .secret = true,
           .text = &Config::requirepass},
    Option{
        .name = "login-timeout",
        .kind = Kind::kNumber,
        .initial = "10",
        .summary = "Seconds after which a connection that has not logged in is closed; 0: never.",
        .max = INT32_MAX,
        .number = &Config::login_timeout},
    Option{.name = "tcp-backlog",
           .kind = Kind::kNumber,
           .initial = "511",
           .summary = "Connections that may wait to be accepted.",
           .immutable = true,
           .min = 1,
           .max = 65535,
           .number = &Config::tcp_backlog},
    Option{.name = "tcp-keepalive",
           .kind = Kind::kNumber,
           .initial = "300",
           .summary = "Seconds of silence after which the system probes a TCP peer; 0: never.",
           .max = 32767,
           .number = &Config::tcp_keepalive},
    Option{.name = "timeout",
           .kind = Kind::kNumber,
           .initial = "0",
           .summary = "Seconds after which an idle connection is closed; 0: never.",
           .max = INT32_MAX,
           .number = &Config::timeout},
    Option{.name = "io-threads",
           .kind = Kind::kNumber,
           .initial = "2",
           .summary = "Threads that serve connections.",
           .immutable = true,
           .min = 1,
           .max = 128,
           .number = &Config::io_threads},
    Option{.name = "maxclients",
           .kind = Kind::kNumber,
           .initial = "10000",
           .summary = "Maximum number of connections; further ones are refused with an error.",
           .min = 1,
           .max = 1000000,
           .number = &Config::maxclients},
    Option{.name = "maxmemory",
           .kind = Kind::kMemory,
           .initial = "75%",
           .summary = "Bytes for payloads, bookkeeping and buffers, or a share of the machine's "
                      "memory; writes "
                      "past it get OOM; 0: no limit.",
           .number = &Config::maxmemory},
    Option{.name = "maxmemory-policy",
           .initial = "noeviction",
           .summary = "Nothing is ever evicted silently, so this is the only policy.",
           .choices = kPolicies,
           .text = &Config::maxmemory_policy},
    Option{.name = "proto-max-bulk-len",
           .kind = Kind::kMemory,
           .initial = "16gb",
           .summary = "Longest single argument.",
           .min = std::int64_t{1} << 20,
           .max = 1024 * kGiB,
           .number = &Config::proto_max_bulk_len},
    Option{.name = "client-query-buffer-limit",
           .kind = Kind::kMemory,
           .initial = "256mb",
           .summary = "Bytes of one request's small arguments; a connection over it is closed. "
                      "Arguments of 16 KiB "
                      "and more do not count.",
           .min = std::int64_t{1} << 20,
           .number = &Config::client_query_buffer_limit},
    Option{
        .name = "client-output-buffer-limit",
        .kind = Kind::kOutputLimit,
        .initial = "normal 32gb 1mb 60 slave 0 0 0 pubsub 32mb 8mb 60",
        .summary =
            "normal|pubsub <hard> <soft> <seconds>: a connection, or one that subscribes, is "
            "closed when more than <hard> bytes are pending for it, or when more than <soft> bytes "
            "are pending and the peer took none of them for <seconds>; 0: no such limit. slave has "
            "no effect: replicas do not exist yet."},
    Option{.name = "prealloc",
           .kind = Kind::kMemory,
           .initial = "64mb",
           .summary = "Fresh memory that is prefaulted in advance, so that a burst of large values "
                      "does not wait "
                      "for page faults.",
           .number = &Config::prealloc},
    Option{.name = "arena-keep",
           .kind = Kind::kMemory,
           .initial = "0",
           .summary = "Freed payload memory that is kept for the next values instead of being "
                      "given back to the "
                      "system; 0: all of it.",
           .number = &Config::arena_keep},
    Option{.name = "databases",
           .kind = Kind::kNumber,
           .initial = "1",
           .summary = "There is one database, number 0.",
           .immutable = true,
           .min = 1,
           .max = 1,
           .number = &Config::databases},
    Option{.name = "save",
           .initial = "",
           .summary = "Periodic snapshots do not exist yet; Redis tools ask for this name.",
           .immutable = true,
           .choices = kSave,
           .text = &Config::save},
    Option{.name = "appendonly",
           .initial = "no",
           .summary = "A log of writes does not exist yet; Redis tools ask for this name.",
           .immutable = true,
           .choices = kNo,
           .text = &Config::appendonly},
    Option{.name = "replica-read-only",
           .initial = "yes",
           .summary = "Replicas do not exist yet; Redis tools ask for this name.",
           .immutable = true,
           .choices = kYes,
           .text = &Config::replica_read_only},
    Option{.name = "slave-read-only",
           .initial = "yes",
           .summary = "The older name of replica-read-only.",
           .immutable = true,
           .choices = kYes,
           .text = &Config::replica_read_only},
    Option{.name = "slowlog-log-slower-than",
           .kind = Kind::kNumber,
           .initial = "10000",
           .summary = "SLOWLOG keeps commands of at least this many microseconds; -1: none.",
           .min = -1,
           .number = &Config::slowlog_us},
    Option{.name = "slowlog-max-len",
           .kind = Kind::kNumber,
           .initial = "128",
           .summary = "Commands that SLOWLOG keeps.",
           .max = 1000000,
           .number = &Config::slowlog_entries_max},
    Option{.name = "latency-monitor-threshold",
           .kind = Kind::kNumber,
           .initial = "0",
           .summary = "LATENCY keeps events of at least this many milliseconds; 0: none.",
           .number = &Config::latency_threshold_ms},
    Option{.name = "loglevel",
           .initial = "notice",
           .summary = "debug, verbose, notice or warning.",
           .choices = kLevels,
           .text = &Config::loglevel},
    Option{.name = "logfile",
           .initial = "",
           .summary = "File to log to; empty: standard error.",
           .immutable = true,
           .text = &Config::logfile},
    Option{
        .name = "libtorch-module",
        .initial = "",
        .summary =
            "Path of libsluice_torch.so, which reads and prints half-precision and 8-bit floats; "
            "empty: beside the server's binary.",
        .immutable = true,
        .text = &Config::libtorch_module},
};

}  // namespace

std::span<const Option> Options() {
  return kOptions;
}

const Option* FindOption(std::string_view name) {
  for (const Option& option : kOptions) {
    if (EqualsIgnoreCase(option.name, name)) {
      return &option;
    }
  }
  return nullptr;
}

}  // namespace sluice::server
