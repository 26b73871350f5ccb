// Observe: reports each command to MONITOR, SLOWLOG and LATENCY after it has run.
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

// Reports nothing if there is no memory for it.
void Observe(const RanCommand& ran) noexcept;

// A blocked command was answered. The time that it was blocked is not work of the server and is
// reported separately from the time that the answer took.
struct BlockedTimes {
  std::int64_t before_us = 0;  // worked before it was blocked
  std::int64_t blocked_us = 0;
  std::int64_t worked_us = 0;
};
void ObserveBlocked(Context& context, const BlockedTimes& times) noexcept;

}  // namespace sluice::server
