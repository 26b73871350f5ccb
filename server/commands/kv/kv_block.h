// BLOCK: writes that wait instead of failing with OOM or FULL.
//
// A write with a large payload waits before the payload is read (server/connection/connection.cc
// calls BlockOf()), so BLOCK is expected directly after the rows. A small write has been read
// completely: it is kept, and run again when there is space. Whether a partition is full is known
// only after the write has been read. Such a write is kept, too; its payload counts in maxmemory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "resp/request_parser.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

struct Block {
  bool given = false;
  std::int64_t ms = 0;  // 0: no limit
};

// Reads `<ms>`, after BLOCK or TIMEOUT. Errors: kError with Redis's texts.
std::int64_t ReadMilliseconds(ArgReader& args);
// Returns whether BLOCK was next.
bool ReadBlock(ArgReader& args, Block& block);
// Returns the time `ms` milliseconds after `now_us`; BlockedCommand::kNever if `ms` is 0.
std::int64_t DeadlineAfter(std::int64_t now_us, std::int64_t ms);

// Returns the BLOCK milliseconds of a request; nullopt if it has no BLOCK. `head` holds the
// arguments received so far, the command name first.
std::optional<std::int64_t> BlockOf(const Command& command, std::span<const resp::Argument> head);

// KV.PUT, KV.MPUT, KV.APPEND: executes the write and fills context.scratch.write. Acquires the
// engine lock. Errors: as Store::Write; kOom over maxmemory.
Status WriteRows(Context& context, const store::WriteRequest& request);

// Returns the `status` of a write; ok if it was kOom or kFull and the command is now blocked
// (context.blocked).
Status OrWait(Context& context, const Block& block, Status status);

}  // namespace sluice::server
