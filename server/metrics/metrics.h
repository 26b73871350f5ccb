// What Prometheus reads of a server, as one text. docs/metrics.md says what each metric is.
#pragma once

#include <string>

#include "server/context.h"

namespace sluice::server {

// Partitions beyond so many are not listed, or those after one that brings the fields to so many: a
// page has an end.
inline constexpr std::size_t kListedPartitionsMax = 1000;
inline constexpr std::size_t kListedFieldsMax = 10000;

// Enters the engine for one partition at a time, and counts since the start: CONFIG RESETSTAT sets
// nothing back here. Any thread. Errors: std::bad_alloc.
std::string MetricsText(Server& server);

}  // namespace sluice::server
