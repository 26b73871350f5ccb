// The argument forms that KV commands share: rows, fields, dtypes and dims, payloads.
//
// These functions belong to the *prepare* step: no lock, no state. Errors are stored in the reader.
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

// The argument forms, for COMMAND DOCS.
inline constexpr Arg kListArgs[] = {{.name = "numitems", .type = "integer"},
                                    {.name = "item", .type = "string", .multiple = true}};
inline constexpr Arg kRowsArgs[] = {
    {.name = "numkeys-key", .type = "string", .token = "KEYS", .multiple = true},
    {.name = "indexes-of-incarnation", .type = "string", .token = "ROWS", .multiple = true}};

inline constexpr Arg kWhereArgs[] = {{.name = "numconditions", .type = "integer"},
                                     {.name = "condition", .type = "string", .multiple = true}};
inline constexpr Arg kRowChoiceArgs[] = {
    {.name = "numkeys-key", .type = "string", .token = "KEYS", .multiple = true},
    {.name = "indexes-of-incarnation", .type = "string", .token = "ROWS", .multiple = true},
    {.name = "numconditions-condition", .type = "string", .token = "WHERE", .multiple = true}};

// Reads `KEYS <list>` or `ROWS <blob> [OF <incarnation>]`. Returns whether one of them was next.
bool ReadRows(Context& context, ArgReader& args, store::RowSet& rows);

// Reads `<m> <tag> <op> <value> ...`, after WHERE. Returns nullopt on an error.
std::optional<store::Where> ReadWhere(ArgReader& args);

// Rows by key, by index, or by tag.
struct RowChoice {
  store::RowSet rows;
  std::optional<store::Where> where;
};
// As ReadRows(), or reads `WHERE ...`. Fails if none of them is next.
RowChoice ReadRowChoice(Context& context, ArgReader& args);
// Acquires the engine lock. Sets `choice.rows` to keys or indexes; with WHERE, to the indexes of
// the rows that match at that moment.
// Errors: kWrongType.
Status ChooseRows(Context& context, std::string_view partition, RowChoice& choice);

// Reads `<list>` of field names into scratch.fields.
void ReadFields(Context& context, ArgReader& args);

// Fails if a key or an index of `rows` is named twice. For writes only.
void RejectDuplicateRows(Context& context, ArgReader& args, const store::RowSet& rows);

// Fails if a field of scratch.columns is named twice.
void RejectDuplicateFields(Context& context, ArgReader& args);

// Reads `<name> <dtype> [<dim> ...]`; the dims end at the first word that is not a number. Fills
// field, dtype, dims and rank of `source`.
void ReadFieldShape(Context& context, ArgReader& args, store::ColumnSource& source);

// Checks the column. Creates a chunk for it (store::Chunk) if the column is large enough.
void FinishColumn(Context& context, ArgReader& args, store::ColumnWrite& column);

// Adds the JSON patch of one row to scratch.tags.
void AddTag(Context& context, ArgReader& args, std::string_view patch);

}  // namespace sluice::server
