// SlowLog: slow commands, for SLOWLOG. LatencyEvents: slow events, for LATENCY.
//
// Thread safety: any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "server/arguments/request.h"

namespace sluice::server {

struct SlowCommand {
  std::int64_t id = 0;
  std::int64_t time_s = 0;  // since 1970
  std::int64_t microseconds = 0;
  std::vector<std::string> args;  // at most 32, of at most 128 bytes each
  std::string address;
  std::string name;  // of the connection
};

// Returns the arguments as SLOWLOG keeps them.
std::vector<std::string> CutArgs(RequestView request);

class SlowLog {
 public:
  // Assigns an id and drops the oldest entries beyond `entries_max`. Errors: std::bad_alloc.
  void Add(SlowCommand command, std::size_t entries_max);
  // Returns the last `count` entries, newest first. Errors: std::bad_alloc.
  [[nodiscard]] std::vector<SlowCommand> Last(std::size_t count);
  [[nodiscard]] std::size_t Size();
  void Reset();

 private:
  Mutex mutex_;
  std::deque<SlowCommand> commands_ GUARDED_BY(mutex_);  // newest first
  std::int64_t next_id_ GUARDED_BY(mutex_) = 0;
};

class LatencyEvents {
 public:
  struct Sample {
    std::int64_t time_s = 0;  // since 1970
    std::int64_t ms = 0;
  };
  struct Latest {
    std::string event;
    Sample last;
    std::int64_t max_ms = 0;
  };

  // Keeps the longest sample of each second. Errors: std::bad_alloc.
  void Add(std::string_view event, Sample sample);
  [[nodiscard]] std::vector<Latest> GetLatest();
  // Returns at most 160 samples, oldest first.
  [[nodiscard]] std::vector<Sample> History(std::string_view event);
  // Returns the longest sample since the event was last forgotten; 0 if there is none.
  [[nodiscard]] std::int64_t MaxMs(std::string_view event);
  // Forgets these events; if empty, all. Returns how many were forgotten.
  std::int64_t Reset(RequestView events);

 private:
  struct Event {
    std::deque<Sample> samples;
    std::int64_t max_ms = 0;
  };
  Mutex mutex_;
  std::map<std::string, Event, std::less<>> events_ GUARDED_BY(mutex_);
};

}  // namespace sluice::server
