#include "store/tensor/shape.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/ids.h"

namespace sluice::store {

std::optional<std::int64_t> CheckedMul(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

std::optional<std::int64_t> CheckedAdd(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

std::string_view AsBytes(std::span<const std::int64_t> numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()};
}

std::string ShapeText(Dims dims) {
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

void CommonShape::Add(Dims dims) {
  if (!any_) {
    any_ = true;
    dims_.assign(dims.begin(), dims.end());
  }
  if (dims.size() != dims_.size()) {
    ranks_differ_ = true;
    return;
  }
  for (std::size_t d = 0; d < dims.size(); ++d) {
    dims_[d] = dims_[d] == dims[d] ? dims_[d] : -1;
  }
}

bool CommonShape::IsFinal(std::size_t rank) const {
  return ranks_differ_ ||
         (any_ && rank == dims_.size() &&
          std::all_of(dims_.begin(), dims_.end(), [](std::int64_t dim) { return dim == -1; }));
}

Result<std::int64_t> TensorBytes(std::string_view field, DType dtype, Dims dims) {
  const auto fail = [&](std::string_view why) {
    return Status(Code::kShape, fmt::format("field '{}': {}", Printable(field), why));
  };
  if (dims.size() > kRankMax) {
    return fail(fmt::format("rank {} is more than {}", dims.size(), kRankMax));
  }
  // Counts a dim of 0 as 1, so that an overflow of the other dims is still an error.
  std::optional<std::int64_t> bytes = static_cast<std::int64_t>(SizeOf(dtype));
  bool empty = false;
  for (const std::int64_t dim : dims) {
    if (dim < 0) {
      return fail(fmt::format("a dim is negative: {}", ShapeText(dims)));
    }
    empty = empty || dim == 0;
    bytes = bytes ? CheckedMul(*bytes, std::max<std::int64_t>(dim, 1)) : bytes;
  }
  if (!bytes) {
    return fail(fmt::format("shape {} is too large", ShapeText(dims)));
  }
  return empty ? 0 : *bytes;
}

}  // namespace sluice::store
