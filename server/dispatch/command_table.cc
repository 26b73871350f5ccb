#include "server/dispatch/command_table.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <string>

#include <boost/container/flat_map.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "base/ascii.h"

namespace sluice::server {
namespace {

constexpr std::size_t kNameBytesMax = 48;  // no row is longer; the index test checks that

// Lower-cases into `buffer`; returns "" if the name is too long to be a command.
std::string_view Lower(std::string_view name, std::array<char, kNameBytesMax>& buffer) {
  if (name.size() > buffer.size()) {
    return {};
  }
  std::transform(name.begin(), name.end(), buffer.begin(), LowerCase);
  return {buffer.data(), name.size()};
}

const auto& ByName() {
  static const auto kByName = [] {
    boost::unordered_flat_map<std::string_view, const Command*> by_name;
    for (const auto family : Families()) {
      for (const Command& row : family) {
        by_name.emplace(row.name, &row);
      }
    }
    return by_name;
  }();
  return kByName;
}

}  // namespace

std::span<const std::span<const Command>> Families() {
  static const std::array kFamilies = {AiCommands(),
                                       ClientCommands(),
                                       ClientListCommands(),
                                       CommandKeysCommands(),
                                       ConfigCommands(),
                                       ConnectionCommands(),
                                       ExpireCommands(),
                                       IntrospectionCommands(),
                                       KeysCommands(),
                                       KvAppendCommands(),
                                       KvClearCommands(),
                                       KvFieldsCommands(),
                                       KvListCommands(),
                                       KvMputCommands(),
                                       KvPutCommands(),
                                       KvReadCommands(),
                                       KvWaitCommands(),
                                       PartitionCommands(),
                                       PartitionCreateCommands(),
                                       PubSubCommands(),
                                       RedisCommands(),
                                       ServerCommands(),
                                       SlowCommands(),
                                       StringEditCommands(),
                                       StringGetCommands(),
                                       StringSetCommands(),
                                       TaskCommands(),
                                       TaskClaimCommands(),
                                       TaskExplainCommands(),
                                       TaskFetchCommands(),
                                       TransactionCommands()};
  return kFamilies;
}

const Command* FindCommand(std::string_view name) {
  std::array<char, kNameBytesMax> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const auto& by_name = ByName();
  const auto it = by_name.find(Lower(name, buffer));
  return it == by_name.end() ? nullptr : it->second;
}

const Command* FindSubcommand(const Command& parent, std::string_view child) {
  std::string name(parent.name);
  name += '|';
  name += child;
  return FindCommand(name);
}

std::vector<const Command*> SubcommandsOf(const Command& parent) {
  std::vector<const Command*> rows;
  for (const auto family : Families()) {
    for (const Command& row : family) {
      if (row.name.starts_with(parent.name) &&
          row.name.substr(parent.name.size()).starts_with('|')) {
        rows.push_back(&row);
      }
    }
  }
  return rows;
}

std::string_view KeyFlags(const Command& command) {
  const bool writes = (command.flags & kWrite) != 0;
  return !command.key_flags.empty() ? command.key_flags : writes ? "RW update" : "RO access";
}

std::vector<std::string_view> SplitWords(std::string_view words) {
  std::vector<std::string_view> names;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    names.push_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return names;
}

bool IsSubcommand(const Command& command) {
  return command.name.find('|') != std::string_view::npos;
}

bool IsOfRedis(const Command& command) {
  return command.name.find('.') == std::string_view::npos;
}

std::size_t CommandCount() {
  return ByName().size();
}

std::size_t OrdinalOf(const Command& command) {
  // A few comparisons instead of a hash: every command calls this.
  static const auto kFirsts = [] {
    boost::container::flat_map<const Command*, std::size_t, std::less<>> firsts;
    std::size_t before = 0;
    for (const auto family : Families()) {
      firsts.emplace(family.data(), before);
      before += family.size();
    }
    return firsts;
  }();
  const auto& [first, before] = *std::prev(kFirsts.upper_bound(&command));
  return before + static_cast<std::size_t>(&command - first);
}

std::span<const std::string_view> Categories() {
  static constexpr std::string_view kCategories[] = {
      "@keyspace", "@read",     "@write",     "@string",     "@pubsub",      "@admin",    "@fast",
      "@slow",     "@blocking", "@dangerous", "@connection", "@transaction", "@scripting"};
  return kCategories;
}

bool IsOfCategory(const Command& command, std::string_view category) {
  const auto has = [&command](Flag flag) { return (command.flags & flag) != 0; };
  const auto is = [&command](Category bit) { return (command.categories & bit) != 0; };
  struct Rule {
    std::string_view category;
    bool holds;
  };
  const Rule rules[] = {
      {"keyspace", is(kAclKeyspace) || (command.keys.first != 0 && !IsOfRedis(command))},
      {"read", has(kReadOnly)},
      {"write", has(kWrite)},
      {"string", is(kAclString)},
      {"pubsub", has(kPubSub)},
      {"admin", has(kAdmin) || is(kAclAdmin)},
      {"dangerous", has(kAdmin) || is(kAclDangerous)},
      {"fast", has(kFast)},
      {"slow", !has(kFast)},
      {"blocking", has(kBlocking)},
      {"connection", is(kAclConnection)},
      {"transaction", is(kAclTransaction)},
      {"scripting", is(kAclScripting)},
  };
  return std::any_of(std::begin(rules), std::end(rules), [category](const Rule& rule) {
    return rule.holds && EqualsIgnoreCase(rule.category, category);
  });
}

bool ArityMatches(const Command& command, std::size_t args) {
  return command.arity > 0 ? args == static_cast<std::size_t>(command.arity)
                           : args >= static_cast<std::size_t>(-command.arity);
}

}  // namespace sluice::server
