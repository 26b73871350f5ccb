// The arguments of RedisAI's AI.TENSORSET, and its names of dtypes.
#pragma once

#include <string_view>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/context.h"
#include "store/tensor/column_source.h"
#include "store/tensor/dtype.h"

namespace sluice::server {

// Where tensors are kept: in the row of their key.
inline constexpr std::string_view kAiPartition = "ai";
inline constexpr std::string_view kAiField = "value";

// "FLOAT"; empty where RedisAI has no such type.
std::string_view AiTypeName(store::DType dtype);

// `type [dim ...] [BLOB bytes | VALUES value ...]`; what it borrows is in the request or in
// context.scratch. Errors: kError with RedisAI's texts; kShape; kOom; std::bad_alloc.
Result<store::ColumnSource> ReadTensor(Context& context, ArgReader& args);

}  // namespace sluice::server
