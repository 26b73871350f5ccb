// The arguments of RedisAI's AI.TENSORSET, and its names of dtypes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/context.h"
#include "store/tensor/column_source.h"
#include "store/tensor/dtype.h"

namespace sluice::server {

// Tensors are stored in this partition and field, in the row of their key.
inline constexpr std::string_view kAiPartition = "ai";
inline constexpr std::string_view kAiField = "value";

// Returns RedisAI's name of the dtype, such as "FLOAT"; empty if RedisAI has no such type.
std::string_view AiTypeName(store::DType dtype);

// Returns the shape of a STRING tensor by the tag of its row; nullopt if the tag has no list of
// sizes.
std::optional<std::vector<std::int64_t>> StringShape(std::string_view tag);

// Reads `type [dim ...] [BLOB bytes | VALUES value ...]`. The result borrows from the request or
// from context.scratch; of a STRING tensor also a tag, in context.scratch.tags. Errors: kError with
// RedisAI's texts; kShape; kOom; std::bad_alloc.
Result<store::ColumnSource> ReadTensor(Context& context, ArgReader& args);

}  // namespace sluice::server
