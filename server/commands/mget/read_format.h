// FORMAT, PAD and DICT: how values are given back, by KV.MGET and TASK.FETCH.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/arguments/arg_reader.h"
#include "server/commands/mget/mget_columns.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

enum class Format : std::uint8_t { kColumns, kRows, kValues, kSafetensors };

struct ReadFormat {
  bool has_format = false;
  Format format = Format::kColumns;
  MgetOptions options;

  // Did any of the three stand there?
  [[nodiscard]] bool Given() const { return has_format || options.padding.given || options.dict; }
  // Rows of different kinds, or without some of the fields, have no place in one column.
  [[nodiscard]] bool Strict() const {
    return format == Format::kColumns || format == Format::kSafetensors;
  }
};

// The same for COMMAND DOCS.
inline constexpr Arg kFormatChoiceArgs[] = {
    {.name = "columns", .type = "pure-token", .token = "COLUMNS"},
    {.name = "rows", .type = "pure-token", .token = "ROWS"},
    {.name = "values", .type = "pure-token", .token = "VALUES"},
    {.name = "safetensors", .type = "pure-token", .token = "SAFETENSORS"}};
inline constexpr Arg kPadArgs[] = {{.name = "left-or-right", .type = "string"},
                                   {.name = "value", .type = "string"}};
inline constexpr Arg kFormatArg = {.name = "format",
                                   .type = "oneof",
                                   .token = "FORMAT",
                                   .optional = true,
                                   .args = kFormatChoiceArgs};
inline constexpr Arg kPaddingArg = {
    .name = "padding", .type = "block", .token = "PAD", .optional = true, .args = kPadArgs};
inline constexpr Arg kDictArg = {
    .name = "dict", .type = "pure-token", .token = "DICT", .optional = true};

// Fails where an option is given twice.
void ReadOnce(ArgReader& args, bool& seen, std::string_view name);
// True where FORMAT, PAD or DICT was next.
bool ReadFormatOption(ArgReader& args, ReadFormat& format);
// Fails where they do not go together. To be called behind the last option.
void CheckFormat(ArgReader& args, const ReadFormat& format);

// Appends context.scratch.read's values, or `read`'s; takes its pins. `partition` stands in a
// safetensors file. Leaves the engine where that takes long.
// Errors: kShape, kError (see server/commands/mget/mget_reply.h); what was appended is the caller's
// to take back.
Status ReplyInFormat(Context& context, std::string_view partition, ReadFormat& format,
                     store::ReadResult& read);

}  // namespace sluice::server
