// The versions that Sluice names to clients.
#pragma once

#include <string_view>

namespace sluice {

inline constexpr std::string_view kSluiceVersion = "0.1.0";
// The Redis version whose behaviour Sluice follows; clients choose features by it (INFO, HELLO).
inline constexpr std::string_view kRedisVersion = "7.2.4";

}  // namespace sluice
