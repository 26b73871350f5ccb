// The whole command table: the families of server/commands/, joined and indexed by name.
//
// Thread safety: immutable after its first use, which may come from any thread.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "server/dispatch/command.h"

namespace sluice::server {

// One function per file of server/commands/. A new family adds a line here and one in Families().
std::span<const Command> AiCommands();
std::span<const Command> ClientCommands();
std::span<const Command> ClientListCommands();
std::span<const Command> CommandKeysCommands();
std::span<const Command> ConfigCommands();
std::span<const Command> ConnectionCommands();
std::span<const Command> ExpireCommands();
std::span<const Command> IntrospectionCommands();
std::span<const Command> KeysCommands();
std::span<const Command> KvAppendCommands();
std::span<const Command> KvClearCommands();
std::span<const Command> KvFieldsCommands();
std::span<const Command> KvListCommands();
std::span<const Command> KvMputCommands();
std::span<const Command> KvPutCommands();
std::span<const Command> KvReadCommands();
std::span<const Command> KvWaitCommands();
std::span<const Command> PartitionCommands();
std::span<const Command> PartitionCreateCommands();
std::span<const Command> PubSubCommands();
std::span<const Command> RedisCommands();
std::span<const Command> ServerCommands();
std::span<const Command> SlowCommands();
std::span<const Command> StringEditCommands();
std::span<const Command> StringGetCommands();
std::span<const Command> StringSetCommands();
std::span<const Command> TaskCommands();
std::span<const Command> TaskClaimCommands();
std::span<const Command> TaskExplainCommands();
std::span<const Command> TaskFetchCommands();
std::span<const Command> TransactionCommands();

std::span<const std::span<const Command>> Families();

// Returns null if there is no such command. Case-insensitive. A subcommand is "parent|child".
const Command* FindCommand(std::string_view name);
// Returns the subcommand `child` of `parent`; null if there is none.
const Command* FindSubcommand(const Command& parent, std::string_view child);
// Returns all subcommands of `parent`.
std::vector<const Command*> SubcommandsOf(const Command& parent);
// Splits at single spaces, as KeyFlags() are written.
std::vector<std::string_view> SplitWords(std::string_view words);
// What the command does with its keys, in Redis's words: reads (RO), writes (RW), replaces (OW) or
// removes (RM) them, and what it does with their values. "not_key": they are names of channels.
std::string_view KeyFlags(const Command& command);
// True for a row named "parent|child".
bool IsSubcommand(const Command& command);
// False for the commands of Sluice and RedisAI, whose names have a dot.
bool IsOfRedis(const Command& command);

// The row's position in the table, 0..CommandCount()-1, for statistics per command.
std::size_t CommandCount();
std::size_t OrdinalOf(const Command& command);

// Redis's command categories ("@write"), without the "@".
std::span<const std::string_view> Categories();
bool IsOfCategory(const Command& command, std::string_view category);

// Redis's rule: the name counts, negative arity is a minimum.
bool ArityMatches(const Command& command, std::size_t args);

}  // namespace sluice::server
