// The metrics page that Prometheus scrapes. docs/metrics.md describes each metric.
#pragma once

#include <string>

#include "server/dispatch/context.h"

namespace sluice::server {

// Limits of a page: the number of partitions, and the number of fields and tasks. The page stops
// after the partition that reaches the second limit.
inline constexpr std::size_t kListedPartitionsMax = 1000;
inline constexpr std::size_t kListedPartsMax = 10000;

// Acquires the engine lock for one partition at a time. Counters count since the start of the
// server: CONFIG RESETSTAT does not reset them. Thread safety: any thread. Errors: std::bad_alloc.
std::string MetricsText(Server& server);

}  // namespace sluice::server
