// What main.cc and the tests' harness need alike to put a Server together.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/context.h"

namespace sluice::server {

inline constexpr std::string_view kSluiceVersion = "0.1.0";
// What clients gate features on (INFO, HELLO): the Redis whose behaviour we follow.
inline constexpr std::string_view kRedisVersion = "7.2.4";

// Address space for payloads: four times the machine's memory, so that fragmentation cannot use it
// up.
std::size_t ArenaReserveBytes();
// The option arena-keep, 0 meaning all.
std::size_t ArenaKeepBytes(const Config& config);

// Carries the options that other parts have copies of to those parts. After start and each CONFIG
// SET.
void ApplyConfig(Server& server);

// 40 random hex digits.
std::string NewRunId();

}  // namespace sluice::server
