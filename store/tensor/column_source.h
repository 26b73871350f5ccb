// ColumnSource: what a write says of one column before it is stored: `slots` values (n, or m with
// DICT).
//
// Borrows what it names. Thread safety: a value type.
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
  std::string_view bytes;  // the slots one after another
  Blob blob;               // what `bytes` lies in, or null: then it is copied
};

// Errors: kShape: dims (see TensorBytes); "field 'x': int64 [2] needs 16 bytes, got 3", for more
// than one
//         slot with their number; a byte-string type has rank 1. REQUIRES: slots < 2^31.
Status CheckColumn(const ColumnSource& source);

}  // namespace sluice::store
