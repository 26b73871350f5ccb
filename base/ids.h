// The words of the data model that every layer shares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace sluice {

// Position of a row in its partition: counted up from 0, never reused while the partition lives.
using RowIndex = std::int64_t;
inline constexpr RowIndex kNoRow = -1;

// The store's counter of writes: up with each one, never back. 0: before the first.
using Revision = std::uint64_t;

inline constexpr std::size_t kNameBytesMax = 512;

// Valid UTF-8 without control characters (U+0000-1F, U+007F-9F), 1..512 bytes.
// `what` ("partition", "key", ...) stands in the message. Errors: kError.
Status CheckName(std::string_view what, std::string_view name);

// As CheckName, and not ending in ".values" or ".shapes", nor beginning with "__": safetensors
// files use those. Errors: kError.
Status CheckFieldName(std::string_view name);

// `text` for a message: at most 128 bytes, then "..."; what is a control character or not UTF-8
// stands as \xNN, so that every client can decode the message.
std::string Printable(std::string_view text);

}  // namespace sluice
