// FORMAT, PAD and DICT: the form in which KV.MGET and TASK.FETCH return values.
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

  // Returns whether any of the three options was given.
  [[nodiscard]] bool Given() const { return has_format || options.padding.given || options.dict; }
  // Returns whether every row must have every field, with one dtype: columns need that.
  [[nodiscard]] bool Strict() const {
    return format == Format::kColumns || format == Format::kSafetensors;
  }
};

// The arguments, for COMMAND DOCS.
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

// Fails if `seen` is set: the option was given twice. Sets `seen`.
void ReadOnce(ArgReader& args, bool& seen, std::string_view name);
// Returns whether FORMAT, PAD or DICT was next.
bool ReadFormatOption(ArgReader& args, ReadFormat& format);
// Fails if the options contradict each other. To be called after the last option.
void CheckFormat(ArgReader& args, const ReadFormat& format);

// Appends the values of `read` to the reply and takes its pins. `partition` is written to a
// safetensors file. Releases the engine lock if rendering takes long.
// Errors: kShape, kError (see server/commands/mget/mget_reply.h). On an error, the caller removes
// the appended part.
Status ReplyInFormat(Context& context, std::string_view partition, ReadFormat& format,
                     store::ReadResult& read);

}  // namespace sluice::server
