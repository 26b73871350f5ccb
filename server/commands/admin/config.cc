// CONFIG: the options of a running server.
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/help.h"
#include "server/dispatch/server.h"

namespace sluice::server {
namespace {

// CONFIG GET pattern ...
Status ConfigGet(Context& context, ArgReader& args) {
  const auto patterns = args.Remaining();
  for (const RequestArg& pattern : patterns) {
    TRY(CheckGlob(pattern.text));
  }
  std::vector<const Option*> found;
  for (const Option& option : Options()) {
    for (const RequestArg& pattern : patterns) {
      if (GlobMatches(pattern.text, option.name, GlobCase::kIgnore)) {
        found.push_back(&option);
        break;
      }
    }
  }
  context.turn.Enter();
  context.reply.Map(found.size());
  for (const Option* const option : found) {
    context.reply.Bulk(option->name);
    const std::string value = context.server.config.Get(*option);
    context.reply.Bulk(option->secret && !value.empty() ? "(hidden)" : value);
  }
  return {};
}

Status ConfigSetFailed(std::string_view name, std::string_view why) {
  return Status(Code::kError,
                fmt::format("CONFIG SET failed (possibly related to argument '{}') - {}",
                            Printable(name), why));
}

struct Setting {
  const Option* option;
  Config::Value value;
};

Status ReadSetting(ArgReader& args, std::vector<Setting>& settings) {
  const std::string_view name = args.Word("option");
  const Option* const option = FindOption(name);
  if (option == nullptr || !args.HasMore()) {
    return Status(Code::kError,
                  fmt::format("Unknown option or number of arguments for CONFIG SET - '{}'",
                              Printable(name)));
  }
  auto value = Config::Parse(*option, args.Word("value"));
  for (const Setting& earlier : settings) {
    if (earlier.option == option) {
      return ConfigSetFailed(name, "duplicate parameter");
    }
  }
  if (option->immutable) {
    return ConfigSetFailed(name, "can't set immutable config");
  }
  if (!value.ok()) {
    return ConfigSetFailed(name, value.GetStatus().Message());
  }
  settings.push_back({option, *std::move(value)});
  return {};
}

// CONFIG SET option value [option value ...]
Status ConfigSet(Context& context, ArgReader& args) {
  std::vector<Setting> settings;
  while (args.HasMore()) {
    TRY(ReadSetting(args, settings));
  }
  context.turn.Enter();
  for (Setting& setting : settings) {
    context.server.config.Apply(*setting.option, std::move(setting.value));
  }
  ApplyConfig(context.server);
  context.reply.Simple("OK");
  return {};
}

// CONFIG RESETSTAT
Status ConfigResetStat(Context& context, ArgReader& /*args*/) {
  context.turn.Enter();
  context.server.stats.Reset();
  context.reply.Simple("OK");
  return {};
}

// CONFIG REWRITE
Status ConfigRewrite(Context& context, ArgReader& /*args*/) {
  // Options are read under the engine lock, but the file is written without it: a disk may be slow.
  context.turn.Enter();
  TRY_ASSIGN(const std::string text, context.server.config.RewrittenFile());
  context.turn.Leave();
  TRY(context.server.config.ReplaceFile(text));
  context.reply.Simple("OK");
  return {};
}

constexpr Arg kConfigGetArgs[] = {{.name = "parameter", .type = "pattern", .multiple = true}};
constexpr Arg kConfigSetArgs[] = {
    {.name = "parameter", .type = "string"},
    {.name = "value", .type = "string"},
    {.name = "parameter-value", .type = "string", .optional = true, .multiple = true}};
constexpr Command ConfigRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  row.flags |= kAdmin | kLoading;
  if (row.complexity.empty()) {
    row.complexity = "O(N) where N is the number of options";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(ConfigRow({.name = "config",
                   .arity = -2,
                   .flags = kContainer,
                   .summary = "Commands about the configuration."})),
    HelpRow("config|help", "server"),
    Row(ConfigRow({.name = "config|get",
                   .arity = -3,
                   .handler = ConfigGet,
                   .summary = "Returns the options that match the patterns.",
                   .args = kConfigGetArgs})),
    Row(ConfigRow({.name = "config|set",
                   .arity = -4,
                   .flags = kSecret,
                   .handler = ConfigSet,
                   .summary = "Changes options, all of them or none.",
                   .args = kConfigSetArgs})),
    Row(ConfigRow({.name = "config|resetstat",
                   .arity = 2,
                   .handler = ConfigResetStat,
                   .complexity = "O(N) where N is the number of commands",
                   .summary = "Resets the counters that INFO shows."})),
    Row(ConfigRow({.name = "config|rewrite",
                   .arity = 2,
                   .handler = ConfigRewrite,
                   .summary = "Writes the current options to the configuration file."})),
};

}  // namespace

std::span<const Command> ConfigCommands() {
  return kCommands;
}

}  // namespace sluice::server
