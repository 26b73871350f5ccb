#include "store/safetensors/safetensors.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>

#include <fmt/format.h>

#include "store/safetensors/safetensors_dtype.h"
#include "store/safetensors/safetensors_header.h"
#include "store/safetensors/safetensors_layout.h"
#include "store/safetensors/safetensors_name.h"
#include "store/tags/json_text.h"
#include "store/tensor/shape.h"

namespace sluice::store {
namespace {

constexpr std::string_view kValues = kSafetensorsValues;
constexpr std::string_view kShapes = kSafetensorsShapes;
constexpr std::size_t kAlignment = 8;

std::string_view Base(std::string_view name) {
  static_assert(kValues.size() == kShapes.size());
  return name.substr(0, name.size() - kValues.size());
}

class ColumnReader {
 public:
  ColumnReader(const SafetensorsLayout& layout, std::size_t rows) : layout_(layout), rows_(rows) {
    by_name_.reserve(layout.tensors.size());
    for (const SafetensorsEntry& tensor : layout.tensors) {
      by_name_.push_back(&tensor);
    }
    std::sort(
        by_name_.begin(), by_name_.end(),
        [](const SafetensorsEntry* a, const SafetensorsEntry* b) { return a->name < b->name; });
  }

  Result<std::vector<SafetensorsColumn>> Read() const {
    std::vector<SafetensorsColumn> columns;
    for (const SafetensorsEntry& tensor : layout_.tensors) {
      if (const SafetensorsEntry* const shapes = ShapesOf(tensor); shapes != nullptr) {
        TRY_ASSIGN(SafetensorsColumn column, Ragged(tensor, *shapes));
        columns.push_back(std::move(column));
      } else if (!GoesWithAnother(tensor)) {
        TRY_ASSIGN(SafetensorsColumn column, Dense(tensor));
        columns.push_back(std::move(column));
      }
    }
    return columns;
  }

 private:
  const SafetensorsEntry* Find(std::string_view name) const {
    const auto found = std::lower_bound(
        by_name_.begin(), by_name_.end(), name,
        [](const SafetensorsEntry* entry, std::string_view text) { return entry->name < text; });
    return found != by_name_.end() && (*found)->name == name ? *found : nullptr;
  }
  const SafetensorsEntry* Find(std::string_view base, std::string_view suffix) const {
    return Find(std::string(base).append(suffix));
  }

  // The .shapes tensor of a ragged field if `tensor` is its .values, else null.
  const SafetensorsEntry* ShapesOf(const SafetensorsEntry& tensor) const {
    const std::string_view name = tensor.name;
    return name.ends_with(kValues) ? Find(Base(name), kShapes) : nullptr;
  }
  // True for a .shapes tensor whose .values, or whose dense tensor of a field, exists.
  bool GoesWithAnother(const SafetensorsEntry& tensor) const {
    const std::string_view name = tensor.name;
    if (!name.ends_with(kShapes)) {
      return false;
    }
    const std::string_view base = Base(name);
    return Find(base, kValues) != nullptr ||
           (Find(base) != nullptr && FieldOfSafetensorsName(base).ok());
  }

  Status CheckRows(const SafetensorsEntry& tensor) const {
    if (tensor.shape.empty() || std::cmp_not_equal(tensor.shape.front(), rows_)) {
      return SafetensorsError(Code::kShape, tensor.name,
                              fmt::format("shape {} does not begin with the number of rows, {}",
                                          ShapeText(tensor.shape), rows_));
    }
    return {};
  }

  Result<SafetensorsColumn> Dense(const SafetensorsEntry& tensor) const {
    SafetensorsColumn column;
    TRY_ASSIGN(column.field, FieldOfSafetensorsName(tensor.name));
    TRY(CheckRows(tensor));
    column.dtype = tensor.dtype;
    column.dims.assign(tensor.shape.begin() + 1, tensor.shape.end());
    column.rank = column.dims.size();
    column.bytes = layout_.BytesOf(tensor);
    return column;
  }

  Result<SafetensorsColumn> Ragged(const SafetensorsEntry& values,
                                   const SafetensorsEntry& shapes) const {
    const std::string_view name = Base(values.name);
    SafetensorsColumn column;
    TRY_ASSIGN(column.field, FieldOfSafetensorsName(name));
    if (Find(name) != nullptr) {
      return SafetensorsError(Code::kError, name,
                              "present both as a dense tensor and as .values and .shapes");
    }
    if (values.shape.size() != 1) {
      return SafetensorsError(Code::kShape, values.name,
                              fmt::format("shape {} is not 1-D", ShapeText(values.shape)));
    }
    TRY_ASSIGN(column.dims, DimsOf(shapes));
    column.dtype = RaggedDType(name, values.dtype);
    column.ragged = true;
    column.rank = static_cast<std::size_t>(shapes.shape[1]);
    column.bytes = layout_.BytesOf(values);
    TRY(CheckRagged(column, values, shapes));
    return column;
  }

  // `name`: the field's, in the file.
  DType RaggedDType(std::string_view name, DType dtype) const {
    if (dtype != DType::kUint8) {
      return dtype;
    }
    const auto& notes = layout_.byte_strings;
    const auto found =
        std::lower_bound(notes.begin(), notes.end(), name,
                         [](const auto& note, std::string_view text) { return note.first < text; });
    return found != notes.end() && found->first == name ? found->second : dtype;
  }

  // Errors: kShape: `shapes` is not I64 [rows, rank].
  Result<std::vector<std::int64_t>> DimsOf(const SafetensorsEntry& shapes) const {
    if (shapes.dtype != DType::kInt64 || shapes.shape.size() != 2) {
      return SafetensorsError(Code::kShape, shapes.name,
                              fmt::format("expected I64 [rows, rank], got {} {}",
                                          SafetensorsDType(shapes.dtype), ShapeText(shapes.shape)));
    }
    TRY(CheckRows(shapes));
    if (std::cmp_greater(shapes.shape[1], kRankMax)) {
      return SafetensorsError(Code::kShape, shapes.name,
                              fmt::format("rank {} is more than {}", shapes.shape[1], kRankMax));
    }
    const std::string_view bytes = layout_.BytesOf(shapes);
    std::vector<std::int64_t> dims(bytes.size() / sizeof(std::int64_t));
    if (!dims.empty()) {
      std::memcpy(dims.data(), bytes.data(), bytes.size());  // the bytes may be unaligned
    }
    return dims;
  }

  Status CheckRagged(const SafetensorsColumn& column, const SafetensorsEntry& values,
                     const SafetensorsEntry& shapes) const {
    if (IsByteString(column.dtype) && column.rank != 1) {
      return SafetensorsError(
          Code::kShape, shapes.name,
          fmt::format("{} has rank 1 (its length), not {}", NameOf(column.dtype), column.rank));
    }
    // Rows of rank 0 have one element each.
    std::optional<std::int64_t> need =
        column.rank != 0
            ? 0
            : CheckedMul(static_cast<std::int64_t>(SizeOf(column.dtype)), shapes.shape.front());
    for (std::size_t at = 0; need && at < column.dims.size(); at += column.rank) {
      const Dims dims = Dims(column.dims).subspan(at, column.rank);
      TRY_ASSIGN(const std::int64_t bytes, TensorBytes(shapes.name, column.dtype, dims));
      need = CheckedAdd(*need, bytes);
    }
    if (!need || std::cmp_not_equal(*need, column.bytes.size())) {
      const std::string text = need ? fmt::format("need {} bytes", *need) : "are too large";
      return SafetensorsError(
          Code::kShape, values.name,
          fmt::format("the shapes together {}, got {}", text, column.bytes.size()));
    }
    return {};
  }

  const SafetensorsLayout& layout_;
  std::size_t rows_;
  std::vector<const SafetensorsEntry*> by_name_;
};

}  // namespace

Result<std::vector<SafetensorsColumn>> ReadSafetensors(std::string_view file, std::size_t rows) {
  TRY_ASSIGN(const SafetensorsLayout layout, ReadSafetensorsLayout(file));
  return ColumnReader(layout, rows).Read();
}

std::string SafetensorsHeader(std::span<const SafetensorsTensor> tensors,
                              std::span<const std::pair<std::string, std::string>> metadata) {
  std::string out(sizeof(std::uint64_t), '\0');
  char separator = '{';
  if (!metadata.empty()) {
    out += "{\"__metadata__\":";
    for (const auto& [name, text] : metadata) {
      out += std::exchange(separator, ',');
      AppendJsonString(name, out);
      out += ':';
      AppendJsonString(text, out);
    }
    out += '}';
  }
  std::size_t begin = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    out += std::exchange(separator, ',');
    AppendJsonString(tensor.name, out);
    fmt::format_to(
        std::back_inserter(out), R"(:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
        SafetensorsDType(tensor.dtype), fmt::join(tensor.shape, ","), begin, begin + tensor.bytes);
    begin += tensor.bytes;
  }
  out += separator == '{' ? "{}" : "}";
  out.append((kAlignment - out.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t length = out.size() - sizeof(std::uint64_t);
  std::memcpy(out.data(), &length, sizeof(length));
  return out;
}

}  // namespace sluice::store
