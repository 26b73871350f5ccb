#include "server/command_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace sluice::server {
namespace {

constexpr std::size_t kNameBytesMax = 48;  // no row is longer; the index test holds it to that

// Lower-cases into `buffer`; empty where the name is too long to be a command.
std::string_view Lower(std::string_view name, std::array<char, kNameBytesMax>& buffer) {
  if (name.size() > buffer.size()) {
    return {};
  }
  std::transform(name.begin(), name.end(), buffer.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return {buffer.data(), name.size()};
}

struct Index {
  boost::unordered_flat_map<std::string_view, const Command*> by_name;
  boost::unordered_flat_map<const Command*, std::size_t> ordinals;

  Index() {
    for (const auto family : Families()) {
      for (const Command& row : family) {
        by_name.emplace(row.name, &row);
        ordinals.emplace(&row, ordinals.size());
      }
    }
  }
};

const Index& GetIndex() {
  static const Index index;
  return index;
}

}  // namespace

std::span<const std::span<const Command>> Families() {
  static const std::array families = {
      ConnectionCommands(), IntrospectionCommands(), KvMputCommands(), KvPutCommands(),
      KvReadCommands(),     ServerCommands(),        StringCommands()};
  return families;
}

const Command* FindCommand(std::string_view name) {
  std::array<char, kNameBytesMax> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const auto& by_name = GetIndex().by_name;
  const auto it = by_name.find(Lower(name, buffer));
  return it == by_name.end() ? nullptr : it->second;
}

const Command* FindSubcommand(const Command& parent, std::string_view child) {
  std::string name(parent.name);
  name += '|';
  name += child;
  return FindCommand(name);
}

bool IsSubcommand(const Command& command) {
  return command.name.find('|') != std::string_view::npos;
}

std::size_t CommandCount() {
  return GetIndex().ordinals.size();
}

std::size_t OrdinalOf(const Command& command) {
  return GetIndex().ordinals.find(&command)->second;
}

bool ArityMatches(const Command& command, std::size_t args) {
  return command.arity > 0 ? args == static_cast<std::size_t>(command.arity)
                           : args >= static_cast<std::size_t>(-command.arity);
}

}  // namespace sluice::server
