#include "store/safetensors/safetensors_layout.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "base/ids.h"
#include "store/safetensors/safetensors.h"
#include "store/safetensors/safetensors_dtype.h"
#include "store/safetensors/safetensors_header.h"
#include "store/tensor/shape.h"

namespace sluice::store {
namespace {

constexpr std::size_t kLengthBytes = 8;

Status HeaderError(std::string_view why) {
  return {Code::kError, fmt::format("safetensors: {}", why)};
}

Result<std::string_view> HeaderOf(std::string_view file) {
  if (file.size() < kLengthBytes) {
    return HeaderError(fmt::format("a file of {} bytes is too short", file.size()));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kSafetensorsHeaderBytesMax) {
    return HeaderError(
        fmt::format("the header is over {} bytes: {}", kSafetensorsHeaderBytesMax, length));
  }
  file.remove_prefix(kLengthBytes);
  if (length > file.size()) {
    return HeaderError(fmt::format("the header is truncated: {} bytes of {}", file.size(), length));
  }
  return file.substr(0, length);
}

// Returns the alphabetically first duplicate name; null if there is none.
const std::string* Duplicate(const std::vector<SafetensorsEntry>& tensors) {
  std::vector<const std::string*> names;
  names.reserve(tensors.size());
  for (const SafetensorsEntry& tensor : tensors) {
    names.push_back(&tensor.name);
  }
  std::sort(names.begin(), names.end(),
            [](const std::string* a, const std::string* b) { return *a < *b; });
  const auto found =
      std::adjacent_find(names.begin(), names.end(),
                         [](const std::string* a, const std::string* b) { return *a == *b; });
  return found == names.end() ? nullptr : *found;
}

// Counts a dim of 0 as 1, so that an overflow of the other dims is still an error.
Status CheckBytes(const SafetensorsEntry& tensor) {
  std::optional<std::int64_t> bytes = static_cast<std::int64_t>(SizeOf(tensor.dtype));
  bool empty = false;
  for (const std::int64_t dim : tensor.shape) {
    if (dim < 0) {
      return SafetensorsError(Code::kShape, tensor.name,
                              fmt::format("a dim is negative: {}", ShapeText(tensor.shape)));
    }
    empty = empty || dim == 0;
    bytes = bytes ? CheckedMul(*bytes, std::max<std::int64_t>(dim, 1)) : bytes;
  }
  if (!bytes) {
    return SafetensorsError(Code::kShape, tensor.name,
                            fmt::format("shape {} is too large", ShapeText(tensor.shape)));
  }
  const std::int64_t need = empty ? 0 : *bytes;
  if (need != tensor.end - tensor.begin) {
    return SafetensorsError(
        Code::kShape, tensor.name,
        fmt::format("{} {} needs {} bytes, got {}", SafetensorsDType(tensor.dtype),
                    ShapeText(tensor.shape), need, tensor.end - tensor.begin));
  }
  return {};
}

Status CheckOffsets(const SafetensorsEntry& tensor, std::size_t payload_bytes) {
  const bool inside = tensor.begin >= 0 && tensor.begin <= tensor.end &&
                      std::cmp_less_equal(tensor.end, payload_bytes);
  return inside ? Status()
                : SafetensorsError(Code::kShape, tensor.name,
                                   fmt::format("data_offsets [{}, {}] are outside the {} bytes "
                                               "after the header",
                                               tensor.begin, tensor.end, payload_bytes));
}

// Errors: kShape if the tensors overlap, or leave gaps or trailing bytes.
Status CheckCover(const SafetensorsLayout& layout) {
  std::vector<const SafetensorsEntry*> order;
  order.reserve(layout.tensors.size());
  for (const SafetensorsEntry& tensor : layout.tensors) {
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::int64_t covered = 0;
  for (const SafetensorsEntry* const tensor : order) {
    if (tensor->begin != covered) {
      return SafetensorsError(
          Code::kShape, tensor->name,
          fmt::format("data_offsets [{}, {}] {}: expected to begin at {}", tensor->begin,
                      tensor->end, tensor->begin < covered ? "overlap" : "leave a gap", covered));
    }
    covered = tensor->end;
  }
  if (std::cmp_not_equal(covered, layout.payload.size())) {
    return {Code::kShape, fmt::format("safetensors: {} bytes after the header, the tensors have {}",
                                      layout.payload.size(), covered)};
  }
  return {};
}

}  // namespace

Result<SafetensorsLayout> ReadSafetensorsLayout(std::string_view file) {
  TRY_ASSIGN(const std::string_view header, HeaderOf(file));
  TRY_ASSIGN(SafetensorsLayout layout, ParseSafetensorsHeader(header));
  layout.payload = file.substr(kLengthBytes + header.size());
  if (const std::string* const name = Duplicate(layout.tensors); name != nullptr) {
    return SafetensorsError(Code::kError, *name, "duplicate in the header");
  }
  for (const SafetensorsEntry& tensor : layout.tensors) {
    TRY(CheckOffsets(tensor, layout.payload.size()));
    TRY(CheckBytes(tensor));
  }
  TRY(CheckCover(layout));
  return layout;
}

}  // namespace sluice::store
