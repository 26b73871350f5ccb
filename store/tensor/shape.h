// Shapes: dims, outermost first. {} is a scalar. A dim of 0 is allowed. All arithmetic is checked
// for overflow before anything is allocated or compared.
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

// Return a * b, a + b; nullopt if the result exceeds 2^63-1. REQUIRES: a, b >= 0.
std::optional<std::int64_t> CheckedMul(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> CheckedAdd(std::int64_t a, std::int64_t b);

// The memory of `numbers`: packed little-endian int64, as on the wire.
std::string_view AsBytes(std::span<const std::int64_t> numbers);

// Returns for example "[2, 3]"; "[]" for a scalar.
std::string ShapeText(Dims dims);

// The common dims of several values: -1 where they differ.
class CommonShape {
 public:
  // Errors: std::bad_alloc.
  void Add(Dims dims);
  // True if more dims of this rank cannot change the result.
  [[nodiscard]] bool IsFinal(std::size_t rank) const;
  // Returns nullopt if the ranks differ or nothing was added.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> Take() && {
    return any_ && !ranks_differ_ ? std::optional(std::move(dims_)) : std::nullopt;
  }

 private:
  std::vector<std::int64_t> dims_;
  bool any_ = false;
  bool ranks_differ_ = false;
};

// Returns product(dims) * SizeOf(dtype). `field` appears in the message.
// Errors: kShape: a negative dim, a rank over kRankMax, more than 2^63-1 elements or bytes. An
//         overflow of the other dims is an error even if one dim is 0.
Result<std::int64_t> TensorBytes(std::string_view field, DType dtype, Dims dims);

}  // namespace sluice::store
