// KV.MGET, KV.TAGS.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/row_steps.h"
#include "server/commands/mget/read_format.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/piecewise.h"
#include "store/tags/tag.h"

namespace sluice::server {
namespace {

// Up to this many tags are written under the engine lock.
constexpr std::size_t kTagsHeldMax = 64;

// KV.MGET partition KEYS list | ROWS blob | WHERE ... [FIELDS list]
//         [FORMAT columns | rows | values | safetensors] [PAD left | right value] [DICT]
Status KvMget(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowChoice choice = ReadRowChoice(context, args);
  bool has_fields = false;
  ReadFormat format;
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      ReadOnce(args, has_fields, "FIELDS");
      ReadFields(context, args);
    } else if (!ReadFormatOption(args, format)) {
      args.Unexpected();
    }
  }
  CheckFormat(args, format);
  TRY(args.Finish());

  store::ReadResult& read = context.scratch.read;
  TRY(ReadChosen(context, choice,
                 {.partition = partition,
                  .rows = {},
                  .fields = context.scratch.fields,
                  .all_fields = !has_fields,
                  .strict = format.Strict(),
                  .keys = format.format == Format::kSafetensors},
                 read));
  return ReplyInFormat(context, partition, format, read);
}

void ReplyTag(const Text& tag, resp::Reply& reply) {
  if (tag.IsNull()) {
    reply.Null();
  } else {
    reply.Bulk(tag.View());
  }
}

// KV.TAGS partition KEYS list | ROWS blob | WHERE ...
Status KvTags(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowChoice choice = ReadRowChoice(context, args);
  TRY(args.Finish());

  RowSteps steps(context, partition);
  TRY(steps.Begin(choice));
  std::vector<Text>& tags = context.scratch.texts;
  TRY(context.server.store(context.turn.Enter()).Tags(partition, steps.Rows(), tags));
  for (std::vector<Text> more; steps.Next();) {
    TRY(context.server.store(context.turn.Enter()).Tags(partition, steps.Rows(), more));
    std::move(more.begin(), more.end(), std::back_inserter(tags));
  }
  context.reply.Array(tags.size());
  if (tags.size() <= kTagsHeldMax) {
    for (const Text& tag : tags) {
      ReplyTag(tag, context.reply);
    }
    return {};
  }
  context.turn.Leave();
  const std::size_t count = tags.size();
  ReplyEach(
      count,
      [kept = std::move(tags)](resp::Reply& reply, std::size_t i) { ReplyTag(kept[i], reply); },
      context.reply, context.rest, store::kTagBytesMax);
  return {};
}

constexpr Arg kMgetArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .args = kRowChoiceArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs},
    kFormatArg,
    kPaddingArg,
    kDictArg};
constexpr Arg kTagsArgs[] = {{.name = "partition", .type = "key"},
                             {.name = "rows", .type = "oneof", .args = kRowChoiceArgs}};

constexpr std::array kCommands = {
    Row({.name = "kv.mget",
         .arity = -4,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvMget,
         .group = "kv",
         .since = "0.1.0",
         .complexity =
             "O(N) where N is the number of cells; payloads of 16 KiB and more are not copied",
         .summary =
             "Returns fields of rows: as columns, row by row, as text, or as a safetensors file.",
         .args = kMgetArgs}),
    Row({.name = "kv.tags",
         .arity = -4,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvTags,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of rows",
         .summary = "Returns the tags of rows.",
         .args = kTagsArgs}),
};

}  // namespace

std::span<const Command> KvReadCommands() {
  return kCommands;
}

}  // namespace sluice::server
