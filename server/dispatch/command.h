// Command: one row of the command table: everything that COMMAND, COMMAND DOCS, dispatch and the
// tests know about a command. Rows are beside their handlers in server/commands/.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"

namespace sluice::server {

struct Context;
class ArgReader;

// A handler runs to completion: it never suspends, blocks or touches a socket. It writes its reply
// into context.reply. If it returns an error, what it wrote is discarded and the error is sent.
//
//   prepare   read all arguments, check everything that needs no state
//   act       context.turn.Enter(); look up, change, pin
//   render    large replies after context.turn.Leave()
using Handler = Status (*)(Context& context, ArgReader& args);

enum Flag : std::uint32_t {
  kWrite = 1U << 0,          // changes the store or the controller
  kReadOnly = 1U << 1,       // looks at keys, changes nothing
  kDenyOom = 1U << 2,        // refused while used memory is over maxmemory
  kFast = 1U << 3,           // O(1) or O(log n)
  kNoAuth = 1U << 4,         // allowed before AUTH
  kAdmin = 1U << 5,          // for operators
  kLoading = 1U << 6,        // allowed while data is loaded
  kContainer = 1U << 7,      // has subcommands: rows named "parent|child"
  kBlocking = 1U << 8,       // may block
  kSubscribed = 1U << 9,     // allowed in a RESP2 connection that is subscribed
  kInMulti = 1U << 10,       // runs immediately in MULTI instead of being queued
  kSecret = 1U << 11,        // SLOWLOG and MONITOR hide its arguments
  kNoMulti = 1U << 12,       // refused in MULTI
  kMayReplicate = 1U << 13,  // not a write, but CLIENT PAUSE ... WRITE holds it back
  kPubSub = 1U << 14,        // about channels
};

// The ACL categories of Redis that do not follow from the flags.
enum Category : std::uint32_t {
  kAclKeyspace = 1U << 0,
  kAclString = 1U << 1,
  kAclConnection = 1U << 2,
  kAclTransaction = 1U << 3,
  kAclScripting = 1U << 4,
  kAclAdmin = 1U << 5,      // kAdmin implies it
  kAclDangerous = 1U << 6,  // kAdmin implies it
};

// Positions count the command name as 0. A negative `last` counts from the end; {} means no keys.
struct KeyRange {
  int first = 0;
  int last = 0;
  int step = 0;
};

// One argument as COMMAND DOCS describes it.
struct Arg {
  std::string_view name;
  std::string_view type;  // key string integer double pattern pure-token oneof block
  std::string_view token = {};
  bool optional = false;
  bool multiple = false;
  std::span<const Arg> args = {};  // of oneof and block
};

struct Command {
  std::string_view name;  // lower case; a subcommand is "parent|child"
  int arity = 0;          // counts the name (and the subcommand's); -n means at least n
  std::uint32_t flags = 0;
  std::uint32_t categories = 0;
  KeyRange keys = {};
  std::string_view key_flags = {};  // Redis's words for what it does with them; empty: the usual
  std::string_view key_flags_with_get = {};  // if option GET is given; empty: no such option
  std::string_view key_notes = {};           // why the key flags are as they are
  Handler handler = nullptr;                 // null for a container that needs a subcommand
  std::string_view group = {};
  std::string_view since = {};
  std::string_view complexity = {};
  std::string_view summary = {};  // one sentence, with its period
  std::span<const Arg> args = {};
};

// Checks a row at compile time. The compiler prints the thrown text. A container without a handler
// has no other flags and no categories, as in Redis: those of the subcommands count.
consteval Command Row(Command row) {
  for (const char c : row.name) {
    if (c >= 'A' && c <= 'Z') {
      throw "a command name is lower case";
    }
  }
  if (row.arity == 0) {
    throw "arity counts the name, so it cannot be 0";
  }
  if ((row.flags & kWrite) != 0 && (row.flags & kReadOnly) != 0) {
    throw "a command is a write or read-only, not both";
  }
  if ((row.keys.first == 0) != (row.keys.step == 0)) {
    throw "a key range needs first, last and step";
  }
  if (row.handler == nullptr && (row.flags & kContainer) == 0) {
    throw "only a container may lack a handler";
  }
  if (row.handler == nullptr) {
    if (row.arity > -2) {
      throw "a container without a handler needs a subcommand: arity -2";
    }
    row.flags = kContainer;
    row.categories = 0;
  }
  if (!row.summary.ends_with('.') || row.since.empty() || row.complexity.empty() ||
      row.group.empty()) {
    throw "COMMAND DOCS needs summary (a sentence), since, group and complexity";
  }
  return row;
}

}  // namespace sluice::server
