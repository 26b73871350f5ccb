// Tag: the JSON object of a row, kept as its text. A write brings a patch (RFC 7396): names are
// replaced or added, null removes one, objects are merged, anything else is taken as it is.
//
// The text is compact, names in the order of their first writing, numbers as short as they read
// back the same (an integer stays one: 1; a float stays one: 1.0, 0.5, 1e+20).
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"
#include "base/text.h"

namespace sluice::store {

inline constexpr std::size_t kTagBytesMax = std::size_t{64} * 1024;
inline constexpr std::size_t kTagDepthMax = 32;  // {} alone is depth 1

// What the tag "{}" of a row is after `patch` (a JSON object's text): nulls are gone, the text is
// the canonical one. Never null. Errors: kBadTag: not a JSON object, not UTF-8, too deep, over
// kTagBytesMax; says which and where.
Result<Text> FreshTag(std::string_view patch);

// What `tag` (canonical, "" for {}) is after `patch`.
// REQUIRES: FreshTag(patch).ok(). Errors: kBadTag where the result is over kTagBytesMax.
Result<Text> MergeTag(std::string_view tag, std::string_view patch);

}  // namespace sluice::store
