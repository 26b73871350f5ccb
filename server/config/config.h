// Config: the options, set by defaults, a file, the command line and CONFIG SET. One table has a
// row per option.
//
// conf/sluice.conf, CONFIG GET and the tests use the same table. An option with the meaning of a
// Redis option has its name.
//
// Thread safety: numbers are atomic and may change by CONFIG SET; texts change under the engine
// lock, or not at all once the server runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace sluice::server {

class Config;

// When a connection that does not read is closed; 0: never.
struct OutputLimit {
  std::atomic<std::int64_t> hard_bytes{0};    // at this much pending output
  std::atomic<std::int64_t> soft_bytes{0};    // at this much if the peer read nothing for
  std::atomic<std::int64_t> soft_seconds{0};  // this long
};

struct Option {
  enum class Kind : std::uint8_t {
    kNumber,
    kMemory,  // bytes: 1048576, 1mb, 2gb; maxmemory also 75% (of the machine's memory)
    kBool,    // yes or no
    kText,
    kOutputLimit,  // "normal <hard> <soft> <seconds>", and the same for "slave" and "pubsub"
  };
  std::string_view name;
  Kind kind = Kind::kText;
  std::string_view initial;  // the default, as in conf/sluice.conf
  std::string_view summary;  // one sentence, with its period
  bool immutable = false;    // CONFIG SET refuses it
  bool secret = false;       // CONFIG GET hides it
  std::int64_t min = 0;      // of numbers and memory
  std::int64_t max = INT64_MAX;
  std::span<const std::string_view> choices = {};       // of texts; empty: any
  std::atomic<std::int64_t> Config::*number = nullptr;  // of numbers, memory and bools
  std::string Config::*text = nullptr;
};

// The table, sorted by name.
std::span<const Option> Options();
// Returns null if there is none. Case-insensitive.
const Option* FindOption(std::string_view name);

class Config {
 public:
  Config();  // every option at its default

  // A checked new value of an option.
  struct Value {
    struct Limit {
      OutputLimit Config::*of = nullptr;
      std::int64_t hard_bytes = 0;
      std::int64_t soft_bytes = 0;
      std::int64_t soft_seconds = 0;
    };
    std::int64_t number = 0;    // of numbers, memory and bools
    std::vector<Limit> limits;  // of kOutputLimit
    std::string text;
  };
  // `value` as in a file or CONFIG SET; words are separated by spaces.
  // Errors: kError with a text that says what was expected.
  static Result<Value> Parse(const Option& option, std::string_view value);
  // Cannot fail: after Parse() of several options, either all are changed or none.
  void Apply(const Option& option, Value value) noexcept;
  // Parse() and Apply().
  Status Set(const Option& option, std::string_view value);
  // Returns the value as CONFIG GET prints it, but does not hide secrets.
  [[nodiscard]] std::string Get(const Option& option) const;

  // One line of a file. A line whose name is empty or begins with '#' sets no option.
  struct Line {
    std::string_view name;
    std::string value;  // without quotes around it and escapes
  };
  static Line SplitLine(std::string_view line);
  // Reads the text of a file: "name value ..." lines, "#" comments. Errors: kError with the line
  // number.
  Status ReadText(std::string_view text);
  // Writes the options that differ from the file, or from the default, into `file`; comments and
  // order stay. The file is replaced atomically. Errors: kError: there is no file, or it cannot be
  // written.
  [[nodiscard]] Status RewriteFile() const;
  // The two halves of RewriteFile(): the new text for the current options, and writing that text.
  [[nodiscard]] Result<std::string> RewrittenFile() const;
  [[nodiscard]] Status ReplaceFile(std::string_view text) const;
  // Reads the arguments of sluice-server: [file] [--name value ...]... Errors: kError.
  Status ReadCommandLine(std::span<const std::string_view> args);

  std::string bind;
  std::atomic<std::int64_t> port{0};
  std::atomic<std::int64_t> metrics_port{0};
  std::string unixsocket;
  std::string unixsocketperm;
  std::atomic<std::int64_t> tcp_backlog{0};
  std::atomic<std::int64_t> tcp_keepalive{0};
  std::atomic<std::int64_t> timeout{0};
  std::atomic<std::int64_t> protected_mode{0};
  std::string requirepass;  // under the engine lock only
  std::atomic<std::int64_t> login_timeout{0};
  std::atomic<std::int64_t> io_threads{0};
  std::atomic<std::int64_t> maxclients{0};
  std::atomic<std::int64_t> maxmemory{0};
  std::string maxmemory_policy;
  std::atomic<std::int64_t> proto_max_bulk_len{0};
  std::atomic<std::int64_t> client_query_buffer_limit{0};
  OutputLimit output_normal;
  OutputLimit output_replica;  // replicas do not exist yet
  OutputLimit output_pubsub;   // for connections that subscribe or use MONITOR
  std::atomic<std::int64_t> prealloc{0};
  std::atomic<std::int64_t> arena_keep{0};
  std::atomic<std::int64_t> databases{0};
  std::string save;
  std::string appendonly;
  std::string replica_read_only;
  std::atomic<std::int64_t> slowlog_us{0};
  std::atomic<std::int64_t> slowlog_entries_max{0};
  std::atomic<std::int64_t> latency_threshold_ms{0};
  std::string loglevel;
  std::string logfile;
  std::string libtorch_module;

  // The configuration file; "" if there is none.
  std::string file;
};

// Returns the memory of this machine in bytes, or the limit of its cgroup if that is less.
std::int64_t MachineMemoryBytes();

}  // namespace sluice::server
