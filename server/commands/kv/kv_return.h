// RETURN FIELDS|TAGS|BOTH of KV.PUT and KV.MPUT: what a write answers about the rows that it wrote.
//
// The answer is of the same moment as the write, and cannot fail once the write is applied: room
// for it is reserved just before.
#pragma once

#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"
#include "store/partition/rows.h"

namespace sluice::server {

// The same for COMMAND DOCS.
inline constexpr Arg kReturnArgs[] = {{.name = "fields", .type = "pure-token", .token = "FIELDS"},
                                      {.name = "tags", .type = "pure-token", .token = "TAGS"},
                                      {.name = "both", .type = "pure-token", .token = "BOTH"}};

struct Return {
  bool fields = false;
  bool tags = false;
  [[nodiscard]] bool Given() const { return fields || tags; }
};

// True where RETURN was next.
bool ReadReturn(ArgReader& args, Return& what);

// Makes `write` report what was asked for, and reserve its reply beforehand: `own_bytes` of the
// reply without RETURN, and what RETURN adds. `reply` must outlive `write`. Errors: std::bad_alloc.
void ReserveReply(const Return& what, std::size_t own_bytes, resp::Reply& reply,
                  store::WriteRequest& write);

// Appends the header of the reply: the reply without RETURN comes next, then ReplyReturned().
void BeginReturned(const Return& what, resp::Reply& reply);
void ReplyReturned(const Return& what, const store::WriteResult& result, resp::Reply& reply);

}  // namespace sluice::server
