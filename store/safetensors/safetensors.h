// Safetensors: the byte format of a batch's columns in one file (docs/safetensors.md), read and
// written without sockets and without copying a payload.
//
//   bytes  0..7      the header's length N, little-endian
//   bytes  8..8+N    the header: JSON, padded with spaces so that the payload begins at a multiple
//                    of 8:  {"__metadata__":{"note":"utf8"},
//                            "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, ...}
//   bytes  8+N...    the payload: every byte of it belongs to exactly one tensor
//
//   dense field      one tensor [n, dim...] under the field's name
//   ragged field     NAME.values, 1-D, the rows one after another, and NAME.shapes, I64 [n, rank]
//   byte strings     ragged, U8, rank 1, and __metadata__ maps NAME to utf8, json or bytes
//
// Thread safety: functions of their arguments.
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

// As the reference library has it.
inline constexpr std::size_t kSafetensorsHeaderBytesMax = 100'000'000;

struct SafetensorsColumn {
  std::string field;
  DType dtype = DType::kBool;
  bool ragged = false;
  std::size_t rank = 0;            // of one row's value
  std::vector<std::int64_t> dims;  // dense: one row's, `rank` of them; ragged: rows * rank
  std::string_view bytes;          // the rows one after another; lies in the file, at any address
};

// The columns of `file` for `rows` rows, in the order of its header (a ragged field where its
// .values stands). They are what CheckColumn takes; names are such as CheckFieldName takes. A
// NAME.shapes beside a dense NAME is passed over, and so is what __metadata__ says of anything
// but a ragged U8 field, or in other words than the three.
//
// Errors, each naming the tensor:
//   kError  the header: too long or cut off, not a JSON object; a tensor without dtype, shape or
//           data_offsets, or where these are not a string, integers, two integers; a name, or a
//           member of these, twice; a field twice; a name that is none for a field
//   kDType  a dtype that the store lacks
//   kShape  data_offsets that leave the file, overlap or leave bytes over; a byte count that does
//           not fit dtype and shape; dims negative or too large; a rank over kRankMax; another
//           number of rows; .values not 1-D; .shapes not I64 [rows, rank], or not adding up
Result<std::vector<SafetensorsColumn>> ReadSafetensors(std::string_view file, std::size_t rows);

struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::kBool;  // the byte-string types are written as U8
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;
};

// What stands before the tensors' bytes in a file of them, in this order: the length and the
// header, a multiple of 8 bytes. `metadata`: names and texts of __metadata__, which is left out
// when there are none. REQUIRES: names are distinct, none is "__metadata__", all text is UTF-8.
std::string SafetensorsHeader(std::span<const SafetensorsTensor> tensors,
                              std::span<const std::pair<std::string, std::string>> metadata);

}  // namespace sluice::store
