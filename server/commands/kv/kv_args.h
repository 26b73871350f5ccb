// The argument forms that KV commands share: rows, fields, dtypes and dims, payloads.
//
// All of these belong to the *prepare* step: no lock, no state. Failures go into the reader.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"
#include "store/partition/rows.h"
#include "store/tags/where.h"

namespace sluice::server {

// The same forms for COMMAND DOCS.
inline constexpr Arg kListArgs[] = {{.name = "numitems", .type = "integer"},
                                    {.name = "item", .type = "string", .multiple = true}};
inline constexpr Arg kRowsArgs[] = {
    {.name = "numkeys-key", .type = "string", .token = "KEYS", .multiple = true},
    {.name = "indexes", .type = "string", .token = "ROWS"}};

inline constexpr Arg kWhereArgs[] = {{.name = "numconditions", .type = "integer"},
                                     {.name = "condition", .type = "string", .multiple = true}};
inline constexpr Arg kRowChoiceArgs[] = {
    {.name = "numkeys-key", .type = "string", .token = "KEYS", .multiple = true},
    {.name = "indexes", .type = "string", .token = "ROWS"},
    {.name = "numconditions-condition", .type = "string", .token = "WHERE", .multiple = true}};

// `KEYS <list>` or `ROWS <blob>`. True where one of them was next.
bool ReadRows(Context& context, ArgReader& args, store::RowSet& rows);

// `<m> <tag> <op> <value> ...`, behind WHERE. Nullopt on a failure.
std::optional<store::Where> ReadWhere(ArgReader& args);

// Rows by key, by index, or by tag.
struct RowChoice {
  store::RowSet rows;
  std::optional<store::Where> where;
};
// As ReadRows, or `WHERE ...`; fails where none of them is next.
RowChoice ReadRowChoice(Context& context, ArgReader& args);
// Enters the engine; `choice.rows` are keys or indexes then, of rows that fit at that moment.
// Errors: kWrongType.
Status ChooseRows(Context& context, std::string_view partition, RowChoice& choice);

// `<list>` of field names into scratch.fields.
void ReadFields(Context& context, ArgReader& args);

// Fails where a key or an index of `rows` is named twice (writes only).
void RejectDuplicateRows(Context& context, ArgReader& args, const store::RowSet& rows);

// Fails where a field of scratch.columns is named twice.
void RejectDuplicateFields(Context& context, ArgReader& args);

// `<name> <dtype> [<dim> ...]`: the dims end at the first word that is no number. Fills field,
// dtype, dims and rank of `source`.
void ReadFieldShape(Context& context, ArgReader& args, store::ColumnSource& source);

// Checks the column and, where it is large enough for a chunk of its own, makes it (store::Chunk).
void FinishColumn(Context& context, ArgReader& args, store::ColumnWrite& column);

// The JSON patch of one row into scratch.tags.
void AddTag(Context& context, ArgReader& args, std::string_view patch);

}  // namespace sluice::server
