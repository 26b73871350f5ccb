// Shapes: dims, outermost first; {} is a scalar; a dim of 0 is a value like others. All arithmetic
// is checked before anything is allocated or compared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/tensor/dtype.h"

namespace sluice::store {

using Dims = std::span<const std::int64_t>;

inline constexpr std::size_t kRankMax = 32;

// a * b, a + b; nullopt where the result is past 2^63-1. REQUIRES: a, b >= 0.
std::optional<std::int64_t> CheckedMul(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> CheckedAdd(std::int64_t a, std::int64_t b);

// The numbers as they lie in memory: packed little-endian int64, as on the wire.
std::string_view AsBytes(std::span<const std::int64_t> numbers);

// "[2, 3]", "[]" for a scalar.
std::string ShapeText(Dims dims);

// What the dims of several values have in common: -1 where they differ.
class CommonShape {
 public:
  // Errors: std::bad_alloc.
  void Add(Dims dims);
  // True where more dims of this rank can change nothing.
  [[nodiscard]] bool Settled(std::size_t rank) const;
  // nullopt where ranks differ, or nothing was added.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> Take() && {
    return any_ && !ranks_differ_ ? std::optional(std::move(dims_)) : std::nullopt;
  }

 private:
  std::vector<std::int64_t> dims_;
  bool any_ = false;
  bool ranks_differ_ = false;
};

// product(dims) * SizeOf(dtype). `field` stands in the message.
// Errors: kShape: a negative dim, a rank over kRankMax, more than 2^63-1 elements or bytes. A dim
// of 0
//         does not excuse an overflow of the others.
Result<std::int64_t> TensorBytes(std::string_view field, DType dtype, Dims dims);

}  // namespace sluice::store
