// Observe: after each command, what those that look on are told: MONITOR, SLOWLOG, LATENCY.
//
// Thread safety: the I/O thread that ran the command.
#pragma once

#include <cstdint>
#include <span>

#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

struct RanCommand {
  Context& context;
  const Command& command;
  RequestView request;
  std::int64_t microseconds;
};

// Where there is no memory for it, nobody is told.
void Observe(const RanCommand& ran) noexcept;

// A command that waited was answered: the time that it waited is no work of the server's, and is
// told apart from that which the answer took.
struct BlockedTimes {
  std::int64_t before_us = 0;  // it worked before it waited
  std::int64_t blocked_us = 0;
  std::int64_t worked_us = 0;
};
void ObserveBlocked(Context& context, const BlockedTimes& times) noexcept;

}  // namespace sluice::server
