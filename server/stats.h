// What the server counts. Each I/O thread counts for itself; INFO adds them up.
//
// Thread safety: one writer each, any reader.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace sluice::server {

// A counter with one writer: no locked instruction on the hot path.
class Counter {
 public:
  void Add(std::int64_t count) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t Get() const { return value_.load(std::memory_order_relaxed); }
  void Reset() { value_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

struct CommandStats {
  Counter calls;
  Counter microseconds;
  Counter rejected;  // by a gate: arity, memory
  Counter failed;    // by the handler
};

// Of one I/O thread.
struct ThreadStats {
  explicit ThreadStats(std::size_t command_count) : by_command(command_count) {}

  Counter commands;
  Counter input_bytes;
  Counter output_bytes;
  Counter connections;           // accepted
  Counter rejected_connections;  // over maxclients, or denied
  Counter clients;               // connected now
  Counter output_limit_disconnections;
  Counter query_limit_disconnections;
  Counter protocol_errors;
  Counter error_replies;
  Counter keyspace_hits;
  Counter keyspace_misses;
  std::vector<CommandStats> by_command;  // by OrdinalOf()
};

// All of them. Fixed once the threads run.
struct Stats {
  std::vector<std::unique_ptr<ThreadStats>> threads;

  template <typename Member>
  [[nodiscard]] std::int64_t Sum(Member ThreadStats::*member) const {
    std::int64_t sum = 0;
    for (const auto& thread : threads) {
      sum += (*thread.*member).Get();
    }
    return sum;
  }
};

}  // namespace sluice::server
