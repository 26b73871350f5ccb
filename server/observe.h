// Observe: after each command, what those that look on are told: MONITOR, SLOWLOG, LATENCY.
//
// Thread safety: the I/O thread that ran the command.
#pragma once

#include <cstdint>
#include <span>

#include "server/command.h"
#include "server/context.h"

namespace sluice::server {

struct RanCommand {
  Context& context;
  const Command& command;
  std::span<const RequestArg> request;
  std::int64_t microseconds;
};

// Where there is no memory for it, nobody is told.
void Observe(const RanCommand& ran) noexcept;

}  // namespace sluice::server
