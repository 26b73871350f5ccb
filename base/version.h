// The versions that Sluice reports to clients.
#pragma once

#include <string_view>

namespace sluice {

inline constexpr std::string_view kSluiceVersion = "0.1.0";
// The Redis version that Sluice is compatible with; clients select features by it (INFO, HELLO).
inline constexpr std::string_view kRedisVersion = "7.2.4";

}  // namespace sluice
