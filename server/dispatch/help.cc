#include "server/dispatch/help.h"

#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {

Status Help(Context& context, ArgReader& /*args*/) {
  const Command* const parent = FindCommand(context.request.front().text);
  const std::vector<const Command*> children = SubcommandsOf(*parent);
  context.reply.Array(children.size() * 2 + 1);
  context.reply.Simple(fmt::format("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                                   UpperCased(parent->name)));
  for (const Command* const child : children) {
    context.reply.Simple(UpperCased(child->name.substr(parent->name.size() + 1)));
    context.reply.Simple(fmt::format("    {}", child->summary));
  }
  return {};
}

}  // namespace sluice::server
