// Basic types and name rules of the data model, shared by all layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace sluice {

// Position of a row in its partition: counts up from 0, never reused while the partition exists.
using RowIndex = std::int64_t;
inline constexpr RowIndex kNoRow = -1;

// Rows of a large partition are far apart in memory, and each access is a cache miss. A loop over
// rows hides the latency if it prefetches what it will read this number of rows later.
inline constexpr std::size_t kPrefetchAhead = 16;

// The store's write counter: each write increments it. 0: before the first write.
using Revision = std::uint64_t;

inline constexpr std::size_t kNameBytesMax = 512;

// Checks that `name` is valid UTF-8 without control characters (U+0000-1F, U+007F-9F), 1..512
// bytes. `what` ("partition", "key", ...) appears in the message. Errors: kError.
Status CheckName(std::string_view what, std::string_view name);

// Returns `text` for use in a message: at most 128 bytes, then "...". Control characters and
// invalid UTF-8 become \xNN, so every client can decode the message.
std::string Printable(std::string_view text);

// Returns `text` in quotes, as redis-cli prints it: only printable ASCII stays as it is.
std::string Quoted(std::string_view text);

}  // namespace sluice
