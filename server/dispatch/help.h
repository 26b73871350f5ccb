// HELP of a command that has subcommands.
#pragma once

#include "server/dispatch/command.h"

namespace sluice::server {

Status Help(Context& context, ArgReader& args);

// The row of `name`, such as "client|help", in the family of the command. Not checked by Row():
// with -fsanitize=undefined, GCC does not know that the address of a function of another file is
// not null.
consteval Command HelpRow(std::string_view name, std::string_view group,
                          std::uint32_t categories = 0) {
  return {.name = name,
          .arity = 2,
          .flags = kLoading,
          .categories = categories,
          .handler = Help,
          .group = group,
          .since = "0.1.0",
          .complexity = "O(N) where N is the number of subcommands",
          .summary = "Lists the subcommands."};
}

}  // namespace sluice::server
