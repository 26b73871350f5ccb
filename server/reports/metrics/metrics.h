// What Prometheus reads of a server, as one text. docs/metrics.md says what each metric is.
#pragma once

#include <string>

#include "server/dispatch/context.h"

namespace sluice::server {

// A page has an end: partitions beyond so many are not listed, nor those behind one that brings the
// fields and tasks to so many.
inline constexpr std::size_t kListedPartitionsMax = 1000;
inline constexpr std::size_t kListedPartsMax = 10000;

// Enters the engine for one partition at a time, and counts since the start: CONFIG RESETSTAT sets
// nothing back here. Any thread. Errors: std::bad_alloc.
std::string MetricsText(Server& server);

}  // namespace sluice::server
