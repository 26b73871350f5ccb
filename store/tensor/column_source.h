// ColumnSource: one column of a write before it is stored: `slots` values (n, or m with DICT).
//
// Borrows its views. Thread safety: a value type.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"
#include "store/memory/blob.h"
#include "store/tensor/dtype.h"
#include "store/tensor/shape.h"

namespace sluice::store {

struct ColumnSource {
  std::string_view field;
  DType dtype = DType::kBool;
  std::size_t slots = 1;
  bool ragged = false;
  std::size_t rank = 0;
  Dims dims;               // dense: `rank` of them; ragged: slots * rank
  std::string_view bytes;  // the slots concatenated
  Blob blob;               // the blob that contains `bytes`; null: `bytes` is copied
};

// Checks dims, byte count, and rank 1 for byte-string types. REQUIRES: slots < 2^31.
// Errors: kShape: dims (see TensorBytes); "field 'x': int64 [2] needs 16 bytes, got 3", with the
//         number of slots if more than one.
Status CheckColumn(const ColumnSource& source);

}  // namespace sluice::store
