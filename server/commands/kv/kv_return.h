// RETURN FIELDS|TAGS|BOTH|INCARNATION of KV.PUT and KV.MPUT: a write replies with the fields and
// tags of the rows that it wrote, or with the incarnation of the partition.
//
// The reply is from the same moment as the write. It cannot fail once the write is applied: its
// space is reserved just before.
#pragma once

#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"
#include "store/partition/rows.h"

namespace sluice::server {

// The arguments, for COMMAND DOCS.
inline constexpr Arg kReturnArgs[] = {
    {.name = "fields", .type = "pure-token", .token = "FIELDS"},
    {.name = "tags", .type = "pure-token", .token = "TAGS"},
    {.name = "both", .type = "pure-token", .token = "BOTH"},
    {.name = "incarnation", .type = "pure-token", .token = "INCARNATION"}};

struct Return {
  bool fields = false;
  bool tags = false;
  bool incarnation = false;
  [[nodiscard]] bool Given() const { return fields || tags || incarnation; }
};

// Returns whether RETURN was next.
bool ReadReturn(ArgReader& args, Return& what);

// Makes `write` report the requested parts and reserve space for the reply beforehand: `own_bytes`
// for the reply without RETURN, plus the bytes that RETURN adds. REQUIRES: `reply` outlives
// `write`. Errors: std::bad_alloc.
void ReserveReply(const Return& what, std::size_t own_bytes, resp::Reply& reply,
                  store::WriteRequest& write);

// Appends the header of the reply. The reply without RETURN follows, then ReplyReturned().
void BeginReturned(const Return& what, resp::Reply& reply);
void ReplyReturned(const Return& what, const store::WriteResult& result, resp::Reply& reply);

}  // namespace sluice::server
