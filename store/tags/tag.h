// Tag: the JSON object of a row, stored as text. A write applies a patch (RFC 7396): names are
// replaced or added, null removes a name, objects are merged, other values are replaced.
//
// The canonical text is compact, with names in the order in which they were first written; of equal
// names the last one counts. An integer of any size keeps its digits (-0 becomes 0). A float has
// the shortest text that parses to the same double and stays a float: 1.0, 0.5, 1e+20. A float
// outside the range of a double becomes 1e999, -1e999, 0.0 or -0.0. So two integers are equal
// exactly if their texts are, and so are two floats (except 0.0 and -0.0).
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"
#include "base/text.h"

namespace sluice::store {

inline constexpr std::size_t kTagBytesMax = std::size_t{64} * 1024;
inline constexpr std::size_t kTagDepthMax = 32;  // {} alone is depth 1

// Returns the tag "{}" after `patch` (a JSON object's text): canonical text without nulls. Never
// null. Errors: kBadTag: not a JSON object, not UTF-8, too deep, over kTagBytesMax; the message
// names the cause and position.
Result<Text> FreshTag(std::string_view patch);

// Returns `tag` (canonical, "" for {}) after `patch`.
// REQUIRES: FreshTag(patch).ok(). Errors: kBadTag if the result is over kTagBytesMax.
Result<Text> MergeTag(std::string_view tag, std::string_view patch);

}  // namespace sluice::store
