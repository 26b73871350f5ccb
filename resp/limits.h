// Limits on the input of a connection. Byte counts unless the name says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::resp {

// A bulk string of this size or more bypasses the input buffer: the parser asks for a destination
// buffer.
inline constexpr std::size_t kLargeBulkBytes = std::size_t{16} * 1024;

// One inline request, without its newline.
inline constexpr std::size_t kInlineBytesMax = std::size_t{64} * 1024;
inline constexpr std::size_t kLengthLineBytesMax = 32;  // "*3" or "$536870912", without CRLF

// Limits that change at run time (proto-max-bulk-len, and tighter limits before login).
struct Limits {
  std::int64_t args_max = std::int64_t{1024} * 1024;
  std::int64_t bulk_bytes_max = std::int64_t{16} << 30;
  bool before_login = false;  // selects Redis's "unauthenticated ..." error texts
};

}  // namespace sluice::resp
