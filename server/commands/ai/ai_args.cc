#include "server/commands/ai/ai_args.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/commands/kv/kv_args.h"
#include "store/tags/tag_members.h"
#include "store/tensor/chunk.h"
#include "store/tensor/shape.h"
#include "store/tensor/values.h"

namespace sluice::server {
namespace {

using store::ColumnSource;
using store::DType;

constexpr std::string_view kShapeMember = "shape";

struct TypeName {
  std::string_view name;
  DType dtype;
};
// UINT16 of RedisAI has no dtype in Sluice.
constexpr std::array kTypes = {
    TypeName{"FLOAT", DType::kFloat32}, TypeName{"DOUBLE", DType::kFloat64},
    TypeName{"INT8", DType::kInt8},     TypeName{"INT16", DType::kInt16},
    TypeName{"INT32", DType::kInt32},   TypeName{"INT64", DType::kInt64},
    TypeName{"UINT8", DType::kUint8},   TypeName{"BOOL", DType::kBool},
    TypeName{"STRING", DType::kUtf8},
};

Status Error(std::string_view text) {
  return Status(Code::kError, std::string(text));
}

std::optional<DType> TypeOf(std::string_view name) {
  for (const TypeName& type : kTypes) {
    if (EqualsIgnoreCase(type.name, name)) {
      return type.dtype;
    }
  }
  return std::nullopt;
}

// Reads the dims up to BLOB or VALUES. Returns their product, or nullopt after an error.
std::optional<std::int64_t> ReadShape(Context& context, ArgReader& args, ColumnSource& source) {
  std::vector<std::int64_t>& dims = context.scratch.Ints();
  std::int64_t elements = 1;
  while (args.HasMore() && !EqualsIgnoreCase(args.Peek(), "BLOB") &&
         !EqualsIgnoreCase(args.Peek(), "VALUES")) {
    std::int64_t dim = 0;
    const bool valid = ParseInteger(args.Word("dim"), dim) && dim > 0;
    const auto product = valid ? store::CheckedMul(elements, dim) : std::nullopt;
    if (!product) {
      args.Fail(Error("invalid or negative value found in tensor shape"));
      return std::nullopt;
    }
    dims.push_back(dim);
    elements = *product;
  }
  source.dims = dims;
  source.rank = dims.size();
  return elements;
}

// Reads `BLOB b`, `VALUES v ...` or nothing (zeros). Fills the bytes of `source`.
Status ReadBlob(ArgReader& args, ColumnSource& source, std::int64_t elements) {
  if (args.Left() != 1) {
    return Error(
        "a single binary string should come after the BLOB argument in 'AI.TENSORSET' "
        "command");
  }
  RequestArg blob = args.Take("the blob");
  source.bytes = blob.text;
  source.blob = std::move(blob.blob);
  const std::string_view bytes = source.bytes;
  if (source.dtype == DType::kUtf8) {
    const bool whole =
        bytes.ends_with('\0') && std::count(bytes.begin(), bytes.end(), '\0') == elements;
    return whole ? Status()
                 : Error("Number of string elements in data blob does not match tensor length");
  }
  if (const auto size = store::TensorBytes(kAiField, source.dtype, source.dims);
      !size.ok() || static_cast<std::size_t>(*size) != bytes.size()) {
    return Error("data length does not match tensor shape and type");
  }
  const bool bits =
      source.dtype != DType::kBool ||
      std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0 || c == 1; });
  return bits ? Status() : Error("BOOL tensor elements must be 0 or 1");
}

Status ReadStrings(ArgReader& args, std::string& bytes) {
  for (const RequestArg& value : args.Remaining()) {
    std::string_view text = value.text;
    if (text.ends_with('\0')) {  // older versions of RedisAI expect it
      text.remove_suffix(1);
    }
    if (text.find('\0') != std::string_view::npos) {
      return Error("C-string value contains null character");
    }
    bytes.append(text);
    bytes += '\0';
  }
  return {};
}

Status ReadValues(Context& context, ArgReader& args, ColumnSource& source, std::int64_t elements) {
  if (args.Left() != static_cast<std::size_t>(elements)) {
    return Error("wrong number of values was given in 'AI.TENSORSET' command");
  }
  std::string& bytes = context.scratch.Bytes();
  if (source.dtype == DType::kUtf8) {
    TRY(ReadStrings(args, bytes));
  } else {
    std::vector<std::string_view>& texts = context.scratch.words;
    texts.clear();
    for (const RequestArg& value : args.Remaining()) {
      texts.push_back(value.text);
    }
    bytes.resize(texts.size() * store::SizeOf(source.dtype));
    if (!store::ParseValues(kAiField, source.dtype, texts, nullptr, bytes.data()).ok()) {
      return Error("invalid value");
    }
  }
  source.bytes = bytes;
  return {};
}

// Without BLOB and VALUES. A large tensor is zeroed in its final memory.
Status MakeZeros(Context& context, ColumnSource& source, std::int64_t elements) {
  const auto size = source.dtype == DType::kUtf8
                        ? Result<std::int64_t>(elements)
                        : store::TensorBytes(kAiField, source.dtype, source.dims);
  TRY(size.GetStatus());
  const auto bytes = static_cast<std::size_t>(*size);
  if (bytes < store::kSmallBytes) {
    std::string& zeros = context.scratch.Bytes();
    zeros.assign(bytes, '\0');
    source.bytes = zeros;
    return {};
  }
  source.blob = context.server.memory.Allocate(bytes);
  if (source.blob.IsNull()) {
    return store::OutOfMemory();
  }
  std::memset(source.blob.data(), 0, bytes);
  source.bytes = source.blob.View();
  return {};
}

// A byte string has no other shape than its length, so the row's tag keeps the shape.
std::string_view ShapeTag(Context& context, store::Dims dims) {
  std::string& tag = context.scratch.Bytes();
  tag = fmt::format("{{\"{}\":[{}]}}", kShapeMember, fmt::join(dims, ","));
  return tag;
}

// Reads `[2,3]`, as a tag stores it: without blanks. Returns nullopt if the value is anything but a
// list of sizes: every client may write the tag.
std::optional<std::vector<std::int64_t>> ParseShape(std::string_view value) {
  if (!value.starts_with('[')) {
    return std::nullopt;
  }
  std::string_view sizes = value.substr(1, value.size() - 2);
  std::vector<std::int64_t> shape;
  while (!sizes.empty()) {
    const std::string_view size = sizes.substr(0, sizes.find(','));
    std::int64_t dim = 0;
    if (!ParseInteger(size, dim) || dim < 0 || shape.size() == store::kRankMax) {
      return std::nullopt;
    }
    shape.push_back(dim);
    sizes.remove_prefix(std::min(size.size() + 1, sizes.size()));
  }
  return shape;
}

}  // namespace

std::optional<std::vector<std::int64_t>> StringShape(std::string_view tag) {
  for (store::TagMembers members(tag); members.Next();) {
    if (members.Name() == fmt::format("\"{}\"", kShapeMember)) {
      return ParseShape(members.Value());
    }
  }
  return std::nullopt;
}

std::string_view AiTypeName(DType dtype) {
  for (const TypeName& type : kTypes) {
    if (type.dtype == dtype) {
      return type.name;
    }
  }
  return {};
}

Result<ColumnSource> ReadTensor(Context& context, ArgReader& args) {
  ColumnSource source;
  source.field = kAiField;
  const std::optional<DType> dtype = TypeOf(args.Word("type"));
  TRY(dtype ? Status() : Error("invalid data type"));
  source.dtype = *dtype;
  const std::optional<std::int64_t> elements = ReadShape(context, args, source);
  TRY(elements ? Status() : args.Finish());
  if (args.Option("BLOB")) {
    TRY(ReadBlob(args, source, *elements));
  } else if (args.Option("VALUES")) {
    TRY(ReadValues(context, args, source, *elements));
  } else {
    TRY(MakeZeros(context, source, *elements));
  }
  if (source.dtype == DType::kUtf8) {
    AddTag(context, args, ShapeTag(context, source.dims));
    std::vector<std::int64_t>& length = context.scratch.Ints();
    length.push_back(static_cast<std::int64_t>(source.bytes.size()));
    source.dims = length;
  }
  return source;
}

}  // namespace sluice::server
