#include "store/tensor/column_source.h"

#include <fmt/format.h>

#include "base/ids.h"

namespace sluice::store {
namespace {

Status ShapeError(const ColumnSource& source, std::string_view why) {
  return {Code::kShape, fmt::format("field '{}': {}", Printable(source.field), why)};
}

Status CheckRaggedBytes(const ColumnSource& source) {
  if (source.dims.size() != source.slots * source.rank) {
    return ShapeError(source,
                      fmt::format("{} shapes of rank {} are {} numbers, got {}", source.slots,
                                  source.rank, source.slots * source.rank, source.dims.size()));
  }
  std::optional<std::int64_t> need = 0;
  for (std::size_t slot = 0; slot < source.slots; ++slot) {
    const Dims dims = source.dims.subspan(slot * source.rank, source.rank);
    TRY_ASSIGN(const std::int64_t bytes, TensorBytes(source.field, source.dtype, dims));
    need = CheckedAdd(*need, bytes);
    if (!need) {
      return ShapeError(source, "the shapes together are too large");
    }
  }
  if (static_cast<std::uint64_t>(*need) != source.bytes.size()) {
    return ShapeError(source,
                      fmt::format("the shapes need {} bytes, got {}", *need, source.bytes.size()));
  }
  return {};
}

Status CheckDenseBytes(const ColumnSource& source) {
  TRY_ASSIGN(const std::int64_t bytes, TensorBytes(source.field, source.dtype, source.dims));
  const auto need = CheckedMul(bytes, static_cast<std::int64_t>(source.slots));
  if (need && static_cast<std::uint64_t>(*need) == source.bytes.size()) {
    return {};
  }
  const std::string one = fmt::format("{} {}", NameOf(source.dtype), ShapeText(source.dims));
  if (!need) {
    return ShapeError(source, fmt::format("{} rows of {} are too large", source.slots, one));
  }
  const std::string subject = source.slots == 1
                                  ? fmt::format("{} needs", one)
                                  : fmt::format("{} rows of {} need", source.slots, one);
  return ShapeError(source,
                    fmt::format("{} {} bytes, got {}", subject, *need, source.bytes.size()));
}

}  // namespace

Status CheckColumn(const ColumnSource& source) {
  const std::size_t rank = source.ragged ? source.rank : source.dims.size();
  if (rank > kRankMax) {
    return ShapeError(source, fmt::format("rank {} is more than {}", rank, kRankMax));
  }
  if (IsByteString(source.dtype) && rank != 1) {
    return ShapeError(
        source, fmt::format("{} has rank 1 (its length), not {}", NameOf(source.dtype), rank));
  }
  return source.ragged ? CheckRaggedBytes(source) : CheckDenseBytes(source);
}

}  // namespace sluice::store
