// Safetensors: reads and writes the columns of a batch in the safetensors file format
// (docs/safetensors.md), without sockets and without copying the payload.
//
//   bytes  0..7      the header's length N, little-endian
//   bytes  8..8+N    the header: JSON, padded with spaces so that the payload begins at a multiple
//                    of 8:  {"__metadata__":{"note":"utf8"},
//                            "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, ...}
//   bytes  8+N...    the payload: every byte belongs to exactly one tensor
//
//   dense field      one tensor NAME, [n, dim...]
//   ragged field     NAME.values, 1-D, the rows concatenated, and NAME.shapes, I64 [n, rank]
//   byte strings     ragged, U8, rank 1; __metadata__ maps NAME to utf8, json or bytes
//   NAME             the field's name, escaped where it would collide (safetensors_name.h)
//
// Thread safety: any thread; there is no shared state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/tensor/dtype.h"

namespace sluice::store {

// The limit of the reference library.
inline constexpr std::size_t kSafetensorsHeaderBytesMax = 100'000'000;

struct SafetensorsColumn {
  std::string field;
  DType dtype = DType::kBool;
  bool ragged = false;
  std::size_t rank = 0;            // of one row's value
  std::vector<std::int64_t> dims;  // dense: one row's, `rank` of them; ragged: rows * rank
  std::string_view bytes;          // the rows concatenated; a view of the file, unaligned
};

// Returns the columns of `file` for `rows` rows, in header order (a ragged field at the position of
// its .values). The columns satisfy CheckColumn and the names CheckName. Ignores a NAME.shapes
// next to a dense NAME, and __metadata__ entries that are not for a ragged U8 field or not one of
// the three words.
//
// Errors, each naming the tensor:
//   kError  the header is too long, truncated or not a JSON object; a tensor without dtype, shape
//           or data_offsets, or these are not a string, integers, two integers; a duplicate name,
//           member of a tensor, or field; a tensor that is the name of no field, or of an invalid
//           one
//   kDType  an unsupported dtype
//   kShape  data_offsets outside the file, overlapping or with gaps; a byte count that does not
//           match dtype and shape; dims negative or too large; a rank over kRankMax; a wrong number
//           of rows; .values not 1-D; .shapes not I64 [rows, rank], or with a wrong total
Result<std::vector<SafetensorsColumn>> ReadSafetensors(std::string_view file, std::size_t rows);

struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::kBool;  // the byte-string types are written as U8
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;
};

// Returns the start of a file of `tensors`: the length and the header, a multiple of 8 bytes. The
// tensors' bytes must follow in this order. `metadata`: names and texts of __metadata__, which is
// omitted if empty. REQUIRES: names are distinct, none is "__metadata__", all text is UTF-8.
std::string SafetensorsHeader(std::span<const SafetensorsTensor> tensors,
                              std::span<const std::pair<std::string, std::string>> metadata);

}  // namespace sluice::store
